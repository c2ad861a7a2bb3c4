// What OpenAI's /v1/responses answers: a message of one text, and calls.
#include "serve/call_reader.h"
#include "serve/reply_form.h"

namespace dspark::serve {
namespace {

class ResponsesForm : public ReplyForm {
 public:
  ResponsesForm(const Job& job, ReplyContext context)
      : ReplyForm(job, std::move(context)), reader_(job.tools) {}

  Json body(const std::vector<engine::Completion>& done) override {
    const engine::Completion& c = done.front();
    const CallReader::Piece piece = read_calls(job_.tools, c.text);
    if (!piece.text.empty() || piece.calls.empty())
      output_.push_back(message(piece.text, status(c.finish)));
    for (const ToolCall& call : piece.calls)
      output_.push_back(call_item(call, call.arguments, "completed"));
    return response(c);
  }

  StreamEvents open() override {
    StreamEvents events;
    const Json running = response("in_progress");
    events.push_back(event("response.created", {{"response", running}}));
    events.push_back(event("response.in_progress", {{"response", running}}));
    if (job_.tools.form == CallForm::kNone) begin_message(events);
    return events;
  }

  StreamEvents delta(int, const engine::Delta& delta) override {
    const CallReader::Piece piece = reader_.push(delta.text);
    StreamEvents events;
    if (!piece.text.empty() || job_.origins) {
      Json more = job_.origins ? Json{{"speculation", origins_json(delta)}} : Json::object();
      add_text(events, piece.text, more);
    }
    for (const ToolCall& call : piece.calls) add_call(events, call);
    return events;
  }

  StreamEvents finished(int, const engine::Completion& c) override {
    StreamEvents events;
    const CallReader::Piece rest = reader_.finish();
    if (!rest.text.empty()) add_text(events, rest.text, Json::object());
    for (const ToolCall& call : rest.calls) add_call(events, call);
    if (output_.empty()) begin_message(events);
    end_message(events, status(c.finish));
    const Json end = response(c);
    events.push_back(event("response." + end["status"].get<std::string>(), {{"response", end}}));
    return events;
  }

  StreamEvents close(const std::vector<engine::Completion>&) override { return {}; }

  StreamEvents fault(const ApiError& error) override {
    return {event("error", {{"code", error.type}, {"message", error.message}, {"param", nullptr}})};
  }

 private:
  static const char* status(engine::Finish finish) {
    return finish == engine::Finish::kLength ? "incomplete" : "completed";
  }
  static Json part(const std::string& text) {
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", Json::array()},
            {"logprobs", Json::array()}};
  }
  // The output's next item.
  std::string item_id(const char* kind) const {
    const std::string id = kind + context_.id;
    return output_.empty() ? id : fmt::format("{}_{}", id, output_.size());
  }
  Json message(const std::string& text, const char* status) const {
    return {{"id", item_id("msg_")},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", Json::array({part(text)})}};
  }
  Json call_item(const ToolCall& call, const std::string& arguments, const char* status) const {
    const auto is_call = [](const Json& item) { return item["type"] == "function_call"; };
    const auto index = std::count_if(output_.begin(), output_.end(), is_call);
    return {{"id", item_id("fc_")}, {"type", "function_call"},
            {"status", status},     {"call_id", call_id(0, static_cast<size_t>(index))},
            {"name", call.name},    {"arguments", arguments}};
  }

  // Items of a stream.
  void begin_message(StreamEvents& events) {
    if (in_message_) return;
    in_message_ = true;
    text_.clear();
    Json empty = message("", "in_progress");
    empty["content"] = Json::array();
    events.push_back(item_event("response.output_item.added", empty));
    events.push_back(part_event("response.content_part.added", {{"part", part("")}}));
  }
  void add_text(StreamEvents& events, const std::string& text, const Json& more) {
    begin_message(events);
    text_ += text;
    Json data = {{"delta", text}, {"logprobs", Json::array()}};
    data.update(more);
    events.push_back(part_event("response.output_text.delta", data));
  }
  void end_message(StreamEvents& events, const char* status) {
    if (!in_message_) return;
    in_message_ = false;
    events.push_back(
        part_event("response.output_text.done", {{"text", text_}, {"logprobs", Json::array()}}));
    events.push_back(part_event("response.content_part.done", {{"part", part(text_)}}));
    const Json whole = message(text_, status);
    events.push_back(item_event("response.output_item.done", whole));
    output_.push_back(whole);
  }
  void add_call(StreamEvents& events, const ToolCall& call) {
    end_message(events, "completed");
    events.push_back(item_event("response.output_item.added", call_item(call, "", "in_progress")));
    Json data = {{"item_id", item_id("fc_")}, {"output_index", output_.size()}};
    Json whole = data;
    data["delta"] = whole["arguments"] = call.arguments;
    events.push_back(event("response.function_call_arguments.delta", data));
    events.push_back(event("response.function_call_arguments.done", whole));
    const Json item = call_item(call, call.arguments, "completed");
    events.push_back(item_event("response.output_item.done", item));
    output_.push_back(item);
  }

  Json response(const char* status) const {
    Json json = {{"id", "resp_" + context_.id},
                 {"object", "response"},
                 {"created_at", context_.created_unix_s},
                 {"status", status},
                 {"error", nullptr},
                 {"incomplete_details", nullptr},
                 {"model", context_.model},
                 {"output", Json::array()},
                 {"parallel_tool_calls", true},
                 {"previous_response_id", nullptr},
                 {"store", false},
                 {"tool_choice", "auto"},
                 {"tools", Json::array()},
                 {"truncation", "disabled"},
                 {"usage", nullptr}};
    for (const auto& [name, value] : job_.repeated.items()) json[name] = value;
    return json;
  }
  Json response(const engine::Completion& c) const {
    Json json = response(status(c.finish));
    if (c.finish == engine::Finish::kLength)
      json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    json["output"] = output_;
    const Usage all({c});
    json["usage"] = {{"input_tokens", job_.prompt_tokens},
                     {"input_tokens_details", {{"cached_tokens", all.cached}}},
                     {"output_tokens", all.tokens},
                     {"output_tokens_details", {{"reasoning_tokens", 0}}},
                     {"total_tokens", job_.prompt_tokens + all.tokens},
                     {"speculation", all.speculation()}};
    return json;
  }

  StreamEvent event(const std::string& type, const Json& data) {
    Json json = {{"type", type}, {"sequence_number", sequence_++}};
    json.update(data);
    return {type, dump(json)};
  }
  StreamEvent item_event(const std::string& type, const Json& item) {
    return event(type, {{"output_index", output_.size()}, {"item", item}});
  }
  StreamEvent part_event(const std::string& type, const Json& data) {
    Json json = {
        {"item_id", item_id("msg_")}, {"output_index", output_.size()}, {"content_index", 0}};
    json.update(data);
    return event(type, json);
  }

  CallReader reader_;
  Json output_ = Json::array();  // items that are whole
  bool in_message_ = false;
  std::string text_;  // of the message at hand
  int sequence_ = 0;
};

}  // namespace

std::unique_ptr<ReplyForm> responses_form(const Job& job, ReplyContext context) {
  return std::make_unique<ResponsesForm>(job, std::move(context));
}

}  // namespace dspark::serve

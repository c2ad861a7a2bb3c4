// What OpenAI's /v1/responses answers: one message of one text.
#include "serve/reply_form.h"

namespace dspark::serve {
namespace {

class ResponsesForm : public ReplyForm {
 public:
  using ReplyForm::ReplyForm;

  Json body(const std::vector<engine::Completion>& done) override {
    return response(done.front(), item(done.front().text, done.front().finish));
  }

  StreamEvents open() override {
    StreamEvents events;
    const Json running = response("in_progress");
    events.push_back(event("response.created", {{"response", running}}));
    events.push_back(event("response.in_progress", {{"response", running}}));
    Json empty = item("", engine::Finish::kStop);
    empty["status"] = "in_progress";
    empty["content"] = Json::array();
    events.push_back(event("response.output_item.added", {{"output_index", 0}, {"item", empty}}));
    events.push_back(part_event("response.content_part.added", {{"part", part("")}}));
    return events;
  }

  StreamEvents delta(int, const engine::Delta& delta) override {
    if (delta.text.empty() && !job_.origins) return {};
    Json data = {{"delta", delta.text}, {"logprobs", Json::array()}};
    if (job_.origins) data["speculation"] = origins_json(delta);
    return {part_event("response.output_text.delta", data)};
  }

  StreamEvents finished(int, const engine::Completion& c) override {
    const Json whole = item(c.text, c.finish);
    StreamEvents events;
    events.push_back(
        part_event("response.output_text.done", {{"text", c.text}, {"logprobs", Json::array()}}));
    events.push_back(part_event("response.content_part.done", {{"part", part(c.text)}}));
    events.push_back(event("response.output_item.done", {{"output_index", 0}, {"item", whole}}));
    const Json end = response(c, whole);
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
  Json item(const std::string& text, engine::Finish finish) const {
    return {{"id", "msg_" + context_.id},
            {"type", "message"},
            {"status", status(finish)},
            {"role", "assistant"},
            {"content", Json::array({part(text)})}};
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
                 {"parallel_tool_calls", false},
                 {"previous_response_id", nullptr},
                 {"store", false},
                 {"tool_choice", "auto"},
                 {"tools", Json::array()},
                 {"truncation", "disabled"},
                 {"usage", nullptr}};
    for (const auto& [name, value] : job_.repeated.items()) json[name] = value;
    return json;
  }
  Json response(const engine::Completion& c, const Json& output) const {
    Json json = response(status(c.finish));
    if (c.finish == engine::Finish::kLength)
      json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    json["output"].push_back(output);
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
  StreamEvent part_event(const std::string& type, const Json& data) {
    Json json = {{"item_id", "msg_" + context_.id}, {"output_index", 0}, {"content_index", 0}};
    json.update(data);
    return event(type, json);
  }

  int sequence_ = 0;
};

}  // namespace

std::unique_ptr<ReplyForm> responses_form(const Job& job, ReplyContext context) {
  return std::make_unique<ResponsesForm>(job, std::move(context));
}

}  // namespace dspark::serve

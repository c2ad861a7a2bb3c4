// What Anthropic's /v1/messages answers: blocks of text and of calls.
#include "serve/call_reader.h"
#include "serve/reply_form.h"

namespace dspark::serve {
namespace {

class MessagesForm : public ReplyForm {
 public:
  MessagesForm(const Job& job, ReplyContext context)
      : ReplyForm(job, std::move(context)), stops_(job.requests.front().stop), reader_(job.tools) {}

  Json body(const std::vector<engine::Completion>& done) override {
    const engine::Completion& c = done.front();
    const CallReader::Piece piece = read_calls(job_.tools, c.text);
    Json json = message();
    if (!piece.text.empty() || piece.calls.empty())
      json["content"].push_back({{"type", "text"}, {"text", piece.text}});
    for (const ToolCall& call : piece.calls) {
      Json block = call_block(calls_++, call.name);
      block["input"] = Json::parse(call.arguments);
      json["content"].push_back(std::move(block));
    }
    json.update(end_of(c));
    json["usage"] = usage(c);
    return json;
  }

  StreamEvents open() override {
    Json begun = message();
    begun["usage"] = {{"input_tokens", job_.prompt_tokens}, {"output_tokens", 0}};
    StreamEvents events = {event("message_start", {{"message", begun}})};
    if (job_.tools.form == CallForm::kNone) begin_text(events);
    return events;
  }

  StreamEvents delta(int, const engine::Delta& delta) override {
    const CallReader::Piece piece = reader_.push(delta.text);
    StreamEvents events;
    if (!piece.text.empty() || job_.origins) {
      begin_text(events);
      Json data = {{"index", blocks_}, {"delta", {{"type", "text_delta"}, {"text", piece.text}}}};
      if (job_.origins) data["speculation"] = origins_json(delta);
      events.push_back(event("content_block_delta", data));
    }
    for (const ToolCall& call : piece.calls) add_call(events, call);
    return events;
  }

  StreamEvents finished(int, const engine::Completion& c) override {
    StreamEvents events;
    const CallReader::Piece rest = reader_.finish();
    if (!rest.text.empty() || (blocks_ == 0 && rest.calls.empty())) begin_text(events);
    if (!rest.text.empty())
      events.push_back(
          event("content_block_delta",
                {{"index", blocks_}, {"delta", {{"type", "text_delta"}, {"text", rest.text}}}}));
    for (const ToolCall& call : rest.calls) add_call(events, call);
    end_text(events);
    events.push_back(event("message_delta", {{"delta", end_of(c)}, {"usage", usage(c)}}));
    events.push_back(event("message_stop", Json::object()));
    return events;
  }

  StreamEvents close(const std::vector<engine::Completion>&) override { return {}; }

 private:
  static StreamEvent event(const std::string& type, const Json& data) {
    Json json = {{"type", type}};
    json.update(data);
    return {type, dump(json)};
  }
  Json call_block(size_t index, const std::string& name) const {
    return {
        {"type", "tool_use"}, {"id", call_id(0, index)}, {"name", name}, {"input", Json::object()}};
  }
  // Blocks of a stream, blocks_ the one at hand.
  void begin_text(StreamEvents& events) {
    if (in_text_) return;
    in_text_ = true;
    events.push_back(
        event("content_block_start",
              {{"index", blocks_}, {"content_block", {{"type", "text"}, {"text", ""}}}}));
  }
  void end_text(StreamEvents& events) {
    if (!in_text_) return;
    in_text_ = false;
    events.push_back(event("content_block_stop", {{"index", blocks_++}}));
  }
  void add_call(StreamEvents& events, const ToolCall& call) {
    end_text(events);
    events.push_back(
        event("content_block_start",
              {{"index", blocks_}, {"content_block", call_block(calls_++, call.name)}}));
    events.push_back(
        event("content_block_delta",
              {{"index", blocks_},
               {"delta", {{"type", "input_json_delta"}, {"partial_json", call.arguments}}}}));
    events.push_back(event("content_block_stop", {{"index", blocks_++}}));
  }
  Json message() const {
    return {{"id", "msg_" + context_.id}, {"type", "message"},        {"role", "assistant"},
            {"model", context_.model},    {"content", Json::array()}, {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
  }
  // Why it ended. The engine does not say which of the stop texts it was: it is what follows the
  // answer's text in the text of all tokens.
  Json end_of(const engine::Completion& c) const {
    if (c.finish == engine::Finish::kLength)
      return {{"stop_reason", "max_tokens"}, {"stop_sequence", nullptr}};
    if (calls_ > 0) return {{"stop_reason", "tool_use"}, {"stop_sequence", nullptr}};
    tokenizer::StreamDecoder decoder(*context_.tokenizer);
    std::string all;
    for (const int32_t id : c.ids) all += decoder.push(id);
    all += decoder.flush();
    for (const std::string& stop : stops_)
      if (all.size() > c.text.size() && all.compare(c.text.size(), stop.size(), stop) == 0)
        return {{"stop_reason", "stop_sequence"}, {"stop_sequence", stop}};
    return {{"stop_reason", "end_turn"}, {"stop_sequence", nullptr}};
  }
  Json usage(const engine::Completion& c) const {
    const Usage all({c});
    return {{"input_tokens", job_.prompt_tokens - all.cached},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", all.cached},
            {"output_tokens", all.tokens},
            {"speculation", all.speculation()}};
  }

  std::vector<std::string> stops_;
  CallReader reader_;
  size_t calls_ = 0;
  int blocks_ = 0;  // of a stream, that have ended
  bool in_text_ = false;
};

}  // namespace

std::unique_ptr<ReplyForm> messages_form(const Job& job, ReplyContext context) {
  return std::make_unique<MessagesForm>(job, std::move(context));
}

}  // namespace dspark::serve

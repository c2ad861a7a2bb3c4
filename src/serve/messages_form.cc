// What Anthropic's /v1/messages answers: one block of text.
#include "serve/reply_form.h"

namespace dspark::serve {
namespace {

class MessagesForm : public ReplyForm {
 public:
  MessagesForm(const Job& job, ReplyContext context)
      : ReplyForm(job, std::move(context)), stops_(job.requests.front().stop) {}

  Json body(const std::vector<engine::Completion>& done) override {
    const engine::Completion& c = done.front();
    Json json = message();
    json["content"].push_back({{"type", "text"}, {"text", c.text}});
    json.update(end_of(c));
    json["usage"] = usage(c);
    return json;
  }

  StreamEvents open() override {
    Json begun = message();
    begun["usage"] = {{"input_tokens", job_.prompt_tokens}, {"output_tokens", 0}};
    return {event("message_start", {{"message", begun}}),
            event("content_block_start",
                  {{"index", 0}, {"content_block", {{"type", "text"}, {"text", ""}}}})};
  }

  StreamEvents delta(int, const engine::Delta& delta) override {
    if (delta.text.empty() && !job_.origins) return {};
    Json data = {{"index", 0}, {"delta", {{"type", "text_delta"}, {"text", delta.text}}}};
    if (job_.origins) data["speculation"] = origins_json(delta);
    return {event("content_block_delta", data)};
  }

  StreamEvents finished(int, const engine::Completion& c) override {
    return {event("content_block_stop", {{"index", 0}}),
            event("message_delta", {{"delta", end_of(c)}, {"usage", usage(c)}}),
            event("message_stop", Json::object())};
  }

  StreamEvents close(const std::vector<engine::Completion>&) override { return {}; }

 private:
  static StreamEvent event(const std::string& type, const Json& data) {
    Json json = {{"type", type}};
    json.update(data);
    return {type, dump(json)};
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
};

}  // namespace

std::unique_ptr<ReplyForm> messages_form(const Job& job, ReplyContext context) {
  return std::make_unique<MessagesForm>(job, std::move(context));
}

}  // namespace dspark::serve

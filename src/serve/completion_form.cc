// What OpenAI's /v1/completions and /v1/chat/completions answer.
#include "serve/call_reader.h"
#include "serve/reply_form.h"

namespace dspark::serve {
namespace {

Json bytes_of(const std::string& text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<uint8_t>(c));
  return bytes;
}

class CompletionForm : public ReplyForm {
 public:
  CompletionForm(const Job& job, ReplyContext context)
      : ReplyForm(job, std::move(context)),
        offsets_(job.choices, 0),
        calls_made_(job.choices, 0),
        readers_(job.choices, CallReader(job.tools)) {}

  Json body(const std::vector<engine::Completion>& done) override;
  StreamEvents open() override;
  StreamEvents delta(int choice, const engine::Delta& delta) override;
  StreamEvents finished(int choice, const engine::Completion& completion) override;
  StreamEvents close(const std::vector<engine::Completion>& done) override;
  StreamEvents fault(const ApiError& error) override {
    return {{"error", dump(error.json())}, {"", "[DONE]"}};
  }

 private:
  bool chat() const { return job_.api == Api::kChat; }
  Json frame(bool chunk) const;
  // A chunk with one choice.
  StreamEvent chunk(int choice, Json delta, Json logprobs, Json reason, Json more = {}) const;
  Json usage(const std::vector<engine::Completion>& done) const;
  Json call_json(size_t choice, size_t index, const ToolCall& call) const;
  // A chat's message: text and calls.
  Json message(size_t choice, const std::string& text);
  // Appends chunks of what a choice's reader gave.
  void add_calls(StreamEvents& events, int choice, const std::vector<ToolCall>& calls);
  std::string reason(int choice, engine::Finish finish) const;
  // Of tokens whose first begins at text_offset of the answer's text.
  Json logprobs(const std::vector<int32_t>& ids,
                const std::vector<std::vector<sample::TokenLogprob>>& logprobs,
                size_t text_offset) const;

  // By choice:
  std::vector<size_t> offsets_;  // bytes of text sent
  std::vector<size_t> calls_made_;
  std::vector<CallReader> readers_;
};

Json CompletionForm::frame(bool chunk) const {
  const char* object = !chat() ? "text_completion"
                       : chunk ? "chat.completion.chunk"
                               : "chat.completion";
  return {{"id", (chat() ? "chatcmpl-" : "cmpl-") + context_.id},
          {"object", object},
          {"created", context_.created_unix_s},
          {"model", context_.model}};
}

Json CompletionForm::logprobs(const std::vector<int32_t>& ids,
                              const std::vector<std::vector<sample::TokenLogprob>>& logprobs,
                              size_t text_offset) const {
  if (!job_.wants_logprobs || ids.empty()) return {};
  const auto text_of = [&](int32_t id) { return context_.tokenizer->decode({&id, 1}, true); };
  const auto others = [&](size_t i) {
    const auto& list = logprobs[i];
    return std::vector(
        list.begin() + 1,
        list.begin() + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(list.size()),
                                                1 + job_.top_logprobs));
  };
  if (!chat()) {
    Json json = {{"tokens", Json::array()},
                 {"token_logprobs", Json::array()},
                 {"top_logprobs", Json::array()},
                 {"text_offset", Json::array()}};
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::string text = text_of(ids[i]);
      json["tokens"].push_back(text);
      json["token_logprobs"].push_back(logprobs[i][0].logprob);
      Json top = Json::object();
      for (const sample::TokenLogprob& other : others(i)) top[text_of(other.id)] = other.logprob;
      json["top_logprobs"].push_back(std::move(top));
      json["text_offset"].push_back(text_offset);
      text_offset += text.size();
    }
    return json;
  }
  Json content = Json::array();
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto entry = [&](const sample::TokenLogprob& token) {
      const std::string text = text_of(token.id);
      return Json{{"token", text}, {"logprob", token.logprob}, {"bytes", bytes_of(text)}};
    };
    Json token = entry(logprobs[i][0]);
    token["top_logprobs"] = Json::array();
    for (const sample::TokenLogprob& other : others(i))
      token["top_logprobs"].push_back(entry(other));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json CompletionForm::usage(const std::vector<engine::Completion>& done) const {
  const Usage all(done);
  return {{"prompt_tokens", job_.prompt_tokens},
          {"completion_tokens", all.tokens},
          {"total_tokens", job_.prompt_tokens + all.tokens},
          {"prompt_tokens_details", {{"cached_tokens", all.cached}}},
          {"completion_tokens_details",
           {{"accepted_prediction_tokens", all.accepted},
            {"rejected_prediction_tokens", all.verified - all.accepted}}},
          {"speculation", all.speculation()}};
}

Json CompletionForm::call_json(size_t choice, size_t index, const ToolCall& call) const {
  return {{"id", call_id(choice, index)},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Json CompletionForm::message(size_t choice, const std::string& text) {
  const CallReader::Piece piece = read_calls(job_.tools, text);
  calls_made_[choice] = piece.calls.size();
  const bool silent = piece.text.empty() && !piece.calls.empty();
  Json json = {
      {"role", "assistant"}, {"content", silent ? Json() : Json(piece.text)}, {"refusal", nullptr}};
  for (size_t i = 0; i < piece.calls.size(); ++i)
    json["tool_calls"].push_back(call_json(choice, i, piece.calls[i]));
  return json;
}

std::string CompletionForm::reason(int choice, engine::Finish finish) const {
  if (finish == engine::Finish::kLength) return "length";
  return calls_made_[static_cast<size_t>(choice)] > 0 ? "tool_calls" : "stop";
}

void CompletionForm::add_calls(StreamEvents& events, int choice,
                               const std::vector<ToolCall>& calls) {
  for (const ToolCall& call : calls) {
    const auto index = calls_made_[static_cast<size_t>(choice)]++;
    Json json = {{"index", index}};
    json.update(call_json(static_cast<size_t>(choice), index, call));
    events.push_back(chunk(choice, {{"tool_calls", Json::array({std::move(json)})}}, {}, {}));
  }
}

Json CompletionForm::body(const std::vector<engine::Completion>& done) {
  Json json = frame(false);
  json["choices"] = Json::array();
  for (size_t i = 0; i < done.size(); ++i) {
    const engine::Completion& c = done[i];
    const std::string text = (job_.echo ? job_.prompts[i] : std::string()) + c.text;
    Json choice = {{"index", i}};
    if (chat())
      choice["message"] = message(i, text);
    else
      choice["text"] = text;
    choice["logprobs"] = logprobs(c.ids, c.logprobs, text.size() - c.text.size());
    choice["finish_reason"] = reason(static_cast<int>(i), c.finish);
    json["choices"].push_back(std::move(choice));
  }
  json["usage"] = usage(done);
  return json;
}

StreamEvent CompletionForm::chunk(int choice, Json delta, Json logprobs, Json reason,
                                  Json more) const {
  Json json = {{"index", choice}};
  if (chat())
    json["delta"] = std::move(delta);
  else
    json["text"] = delta.value("content", "");
  json["logprobs"] = std::move(logprobs);
  json["finish_reason"] = std::move(reason);
  if (!more.is_null()) json["speculation"] = std::move(more);
  Json whole = frame(true);
  whole["choices"] = Json::array({std::move(json)});
  return {"", dump(whole)};
}

StreamEvents CompletionForm::open() {
  StreamEvents events;
  for (size_t i = 0; i < job_.choices; ++i) {
    const int choice = static_cast<int>(i);
    if (chat())
      events.push_back(chunk(choice, {{"role", "assistant"}, {"content", ""}}, {}, {}));
    else if (job_.echo)
      events.push_back(chunk(choice, {{"content", job_.prompts[i]}}, {}, {}));
    offsets_[i] = job_.echo ? job_.prompts[i].size() : 0;
  }
  return events;
}

StreamEvents CompletionForm::delta(int choice, const engine::Delta& delta) {
  size_t& offset = offsets_[static_cast<size_t>(choice)];
  Json of_tokens = logprobs(delta.ids, delta.logprobs, offset);
  offset += delta.text.size();
  const CallReader::Piece piece = readers_[static_cast<size_t>(choice)].push(delta.text);
  StreamEvents events;
  if (!piece.text.empty() || !of_tokens.is_null() || job_.origins)
    events.push_back(chunk(choice, {{"content", piece.text}}, std::move(of_tokens), {},
                           job_.origins ? origins_json(delta) : Json()));
  add_calls(events, choice, piece.calls);
  return events;
}

StreamEvents CompletionForm::finished(int choice, const engine::Completion& completion) {
  StreamEvents events;
  const CallReader::Piece rest = readers_[static_cast<size_t>(choice)].finish();
  if (!rest.text.empty()) events.push_back(chunk(choice, {{"content", rest.text}}, {}, {}));
  add_calls(events, choice, rest.calls);
  events.push_back(chunk(choice, Json::object(), {}, reason(choice, completion.finish)));
  return events;
}

StreamEvents CompletionForm::close(const std::vector<engine::Completion>& done) {
  StreamEvents events;
  if (job_.include_usage) {
    Json json = frame(true);
    json["choices"] = Json::array();
    json["usage"] = usage(done);
    events.push_back({"", dump(json)});
  }
  events.push_back({"", "[DONE]"});
  return events;
}

}  // namespace

std::unique_ptr<ReplyForm> completion_form(const Job& job, ReplyContext context) {
  return std::make_unique<CompletionForm>(job, std::move(context));
}

}  // namespace dspark::serve

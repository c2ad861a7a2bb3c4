#include "serve/api_reply.h"

namespace dspark::serve {
namespace {

Json frame_json(const ReplyFrame& frame, bool chunk) {
  const char* object = frame.api == Api::kCompletion ? "text_completion"
                       : chunk                       ? "chat.completion.chunk"
                                                     : "chat.completion";
  return {{"id", frame.id},
          {"object", object},
          {"created", frame.created_unix_s},
          {"model", frame.model}};
}

Json with_choice(const ReplyFrame& frame, Json choice) {
  Json json = frame_json(frame, true);
  json["choices"] = Json::array({std::move(choice)});
  return json;
}

Json bytes_of(const std::string& text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<uint8_t>(c));
  return bytes;
}

}  // namespace

Json logprobs_json(const ReplyFrame& frame, const tokenizer::Tokenizer& tokenizer,
                   const std::vector<int32_t>& ids,
                   const std::vector<std::vector<sample::TokenLogprob>>& logprobs,
                   size_t text_offset) {
  const auto text_of = [&](int32_t id) { return tokenizer.decode({&id, 1}, true); };
  const auto others = [&](size_t i) {
    const auto& list = logprobs[i];
    return std::vector(
        list.begin() + 1,
        list.begin() + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(list.size()),
                                                1 + frame.top_logprobs));
  };
  if (frame.api == Api::kCompletion) {
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

Json opening_chunk(const ReplyFrame& frame, int choice) {
  return with_choice(frame, {{"index", choice},
                             {"delta", {{"role", "assistant"}, {"content", ""}}},
                             {"logprobs", nullptr},
                             {"finish_reason", nullptr}});
}

Json text_chunk(const ReplyFrame& frame, int choice, const std::string& text, Json logprobs) {
  Json json = {{"index", choice}};
  if (frame.api == Api::kChat)
    json["delta"] = {{"content", text}};
  else
    json["text"] = text;
  json["logprobs"] = std::move(logprobs);
  json["finish_reason"] = nullptr;
  return with_choice(frame, std::move(json));
}

Json last_chunk(const ReplyFrame& frame, int choice, const std::string& finish_reason) {
  Json json = {{"index", choice}};
  if (frame.api == Api::kChat)
    json["delta"] = Json::object();
  else
    json["text"] = "";
  json["logprobs"] = nullptr;
  json["finish_reason"] = finish_reason;
  return with_choice(frame, std::move(json));
}

Json usage_chunk(const ReplyFrame& frame, Json usage) {
  Json json = frame_json(frame, true);
  json["choices"] = Json::array();
  json["usage"] = std::move(usage);
  return json;
}

Json choice_json(const ReplyFrame& frame, int choice, const std::string& text, Json logprobs,
                 const std::string& finish_reason) {
  Json json = {{"index", choice}};
  if (frame.api == Api::kChat)
    json["message"] = {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}};
  else
    json["text"] = text;
  json["logprobs"] = std::move(logprobs);
  json["finish_reason"] = finish_reason;
  return json;
}

Json body_json(const ReplyFrame& frame, Json choices, Json usage) {
  Json json = frame_json(frame, false);
  json["choices"] = std::move(choices);
  json["usage"] = std::move(usage);
  return json;
}

Json usage_json(int64_t prompt_tokens, const std::vector<engine::Completion>& completions) {
  int64_t tokens = 0, cached = 0, drafted = 0, verified = 0, accepted = 0, cycles = 0;
  for (const engine::Completion& c : completions) {
    tokens += static_cast<int64_t>(c.ids.size());
    cached = std::max(cached, c.cached_rows);
    cycles += static_cast<int64_t>(c.cycles.size());
    for (const engine::Cycle& cycle : c.cycles)
      drafted += cycle.drafted, verified += cycle.verified, accepted += cycle.accepted;
  }
  return {
      {"prompt_tokens", prompt_tokens},
      {"completion_tokens", tokens},
      {"total_tokens", prompt_tokens + tokens},
      {"prompt_tokens_details", {{"cached_tokens", cached}}},
      {"completion_tokens_details",
       {{"accepted_prediction_tokens", accepted},
        {"rejected_prediction_tokens", verified - accepted}}},
      {"speculation",
       {{"cycles", cycles}, {"drafted", drafted}, {"verified", verified}, {"accepted", accepted}}}};
}

std::string finish_reason(engine::Finish finish) {
  return finish == engine::Finish::kLength ? "length" : "stop";
}

}  // namespace dspark::serve

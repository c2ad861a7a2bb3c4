// What OpenAI's API answers: whole bodies, and the chunks of a stream.
#pragma once

#include "serve/api_request.h"

namespace dspark::serve {

// The frame of all bodies and chunks of one call.
struct ReplyFrame {
  Api api;
  std::string id, model;
  int64_t created_unix_s = 0;
  bool wants_logprobs = false;
  int top_logprobs = 0;  // others than the chosen that were asked for
};

// Tokens of an answer; text_offset is that of the first of them in the answer's text.
Json logprobs_json(const ReplyFrame& frame, const tokenizer::Tokenizer& tokenizer,
                   const std::vector<int32_t>& ids,
                   const std::vector<std::vector<sample::TokenLogprob>>& logprobs,
                   size_t text_offset);

// A stream's chunks: what opens a choice (chat only), text, and the end.
Json opening_chunk(const ReplyFrame& frame, int choice);
Json text_chunk(const ReplyFrame& frame, int choice, const std::string& text, Json logprobs);
Json last_chunk(const ReplyFrame& frame, int choice, const std::string& finish_reason);
Json usage_chunk(const ReplyFrame& frame, Json usage);

Json choice_json(const ReplyFrame& frame, int choice, const std::string& text, Json logprobs,
                 const std::string& finish_reason);
Json body_json(const ReplyFrame& frame, Json choices, Json usage);

// Tokens, and of them what speculation did.
Json usage_json(int64_t prompt_tokens, const std::vector<engine::Completion>& completions);

// "stop" or "length", as the API says it.
std::string finish_reason(engine::Finish finish);

}  // namespace dspark::serve

// From a body of OpenAI's API to what the engine is to do.
#pragma once

#include <variant>

#include "engine/engine.h"
#include "serve/fields.h"
#include "serve/tools.h"
#include "tokenizer/tokenizer.h"

namespace dspark::serve {

// What requests are held against.
struct ModelFacts {
  std::string name;  // as served
  const tokenizer::Tokenizer* tokenizer = nullptr;
  const tokenizer::PromptEncoder* encoder = nullptr;
  int64_t context = 0;
  int vocab = 0;
  CallForm call_form = CallForm::kNone;
};

enum class Api { kCompletion, kChat, kResponses, kMessages };

struct Job {
  Api api = Api::kCompletion;
  std::vector<engine::Request> requests;  // by choice: n for each prompt
  size_t choices = 0;                     // how many those are
  int64_t prompt_tokens = 0;              // of all prompts, each once
  bool stream = false, include_usage = false;
  bool origins = false;              // a stream's chunks tell where tokens came from
  bool echo = false;                 // completions: the prompt's text before the answer's
  std::vector<std::string> prompts;  // by choice, where echoed
  bool wants_logprobs = false;
  int top_logprobs = 0;              // others than the chosen
  Tools tools;                       // that an answer may call
  Json repeated = Json::object();    // responses: fields of the request that the answer repeats
  std::vector<std::string> ignored;  // fields that mean nothing here
};

std::variant<Job, ApiError> parse_completion(const Json& body, const ModelFacts& model);
std::variant<Job, ApiError> parse_chat(const Json& body, const ModelFacts& model);
// Both become a chat's body and are read as one.
std::variant<Job, ApiError> parse_responses(const Json& body, const ModelFacts& model);
std::variant<Job, ApiError> parse_messages(const Json& body, const ModelFacts& model);

// The prompt's text that /v1/chat/completions would make of the body, for /apply-template.
std::variant<std::string, ApiError> render_chat(const Json& body, const ModelFacts& model);

}  // namespace dspark::serve

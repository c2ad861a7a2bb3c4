// Functions that a model may call: how its template spells a call, and what a chat's `tools` and
// `tool_choice` ask for.
#pragma once

#include "engine/engine.h"
#include "serve/fields.h"
#include "tokenizer/tokenizer.h"

namespace dspark::serve {

enum class CallForm {
  kNone,     // the template has no tools
  kUnknown,  // it has, but spells calls in a way that is not known here
  kTagged,   // <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call>, once or more (Hermes,
             // Qwen)
  kBare,     // {"name": ..., "parameters": ...} is the answer (Llama 3)
};
inline constexpr std::string_view kCallOpen = "<tool_call>", kCallClose = "</tool_call>";

CallForm call_form_of(const tokenizer::Tokenizer& tokenizer,
                      const tokenizer::PromptEncoder& encoder);

struct Tools {
  CallForm form = CallForm::kNone;  // kNone: the model is offered none
  Json offered;                     // what the template gets
  std::vector<std::string> names;
  bool parallel = true;                             // more than one call in an answer
  std::shared_ptr<const grammar::Grammar> grammar;  // where the answer has to be a call
};

// Takes `tools`, `tool_choice` and `parallel_tool_calls`; form: the model's.
Tools take_tools(Fields& fields, CallForm form);

// A message's `tool_calls` as templates read them, with arguments as objects; place: the message's.
void read_tool_calls(Json& message, const std::string& place, Fields& fields);

}  // namespace dspark::serve

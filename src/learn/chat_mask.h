// Which tokens of a conversation are the assistant's: found in the text that the chat template
// gives, by the marks around its turns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "learn/corpus_row.h"
#include "tokenizer/tokenizer.h"

namespace dspark::learn {

// How a family of chat templates writes turns.
struct TemplateStyle {
  std::string name;         // "qwen" or "gemma4"
  std::string header;       // before the assistant's text
  std::string stop;         // the token that ends a turn
  std::string tail;         // what the template writes behind it, part of the turn
  std::string loss_prefix;  // put before the assistant's text, and not trained on where it stays
};

// The style of a template, by the marks that it contains; `name` is the model's, for messages.
Result<TemplateStyle> template_style(const std::string& chat_template, const std::string& name);

// Bytes of a rendered text.
struct AssistantSpan {
  size_t begin = 0;  // behind the header
  size_t stop = 0;   // where the end mark begins; the text's end when there is none
  size_t end = 0;    // behind mark and tail
};
std::vector<AssistantSpan> assistant_spans(std::string_view text, const TemplateStyle& style);

// How many tokens the first `bytes` of a rendered text are.
Result<int32_t> tokens_before(const tokenizer::PromptEncoder& encoder, std::string_view text,
                              size_t bytes);

// The tokens of a conversation and those that are trained on, as DeepSpec has them: from behind the
// header to the end of the turn's tail. Both end at max_length.
struct MaskedTokens {
  std::vector<int32_t> ids;
  std::vector<TokenRange> loss;
};
Result<MaskedTokens> mask_conversation(const std::vector<Message>& conversation,
                                       const tokenizer::PromptEncoder& encoder,
                                       const TemplateStyle& style, size_t max_length);

}  // namespace dspark::learn

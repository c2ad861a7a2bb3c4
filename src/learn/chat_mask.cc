#include "learn/chat_mask.h"

#include <algorithm>

namespace dspark::learn {
namespace {

using Json = nlohmann::ordered_json;

const TemplateStyle kStyles[] = {
    {"qwen", "<|im_start|>assistant\n", "<|im_end|>", "\n", ""},
    {"gemma4", "<|turn>model\n", "<turn|>", "\n", "<|channel>thought\n<channel|>"},
};

}  // namespace

Result<TemplateStyle> template_style(const std::string& chat_template, const std::string& name) {
  if (chat_template.empty()) return fail("{}: the model has no chat template", name);
  for (const TemplateStyle& style : kStyles) {
    const std::string opening = style.header.substr(0, style.header.find('>') + 1);
    if (chat_template.find(opening) != std::string::npos &&
        chat_template.find(style.stop) != std::string::npos)
      return style;
  }
  return fail(
      "{}: the chat template's turns are of no known style: expected the marks <|im_start|> and "
      "<|im_end|> (qwen) or <|turn> and <turn|> (gemma4)",
      name);
}

std::vector<AssistantSpan> assistant_spans(std::string_view text, const TemplateStyle& style) {
  std::vector<AssistantSpan> spans;
  for (size_t at = text.find(style.header); at != std::string_view::npos;
       at = text.find(style.header, at)) {
    AssistantSpan span;
    span.begin = at + style.header.size();
    if (!style.loss_prefix.empty() && text.substr(span.begin).starts_with(style.loss_prefix))
      span.begin += style.loss_prefix.size();
    span.stop = std::min(text.find(style.stop, span.begin), text.size());
    span.end = std::min(span.stop + style.stop.size(), text.size());
    if (span.end > span.stop && text.substr(span.end).starts_with(style.tail))
      span.end += style.tail.size();
    spans.push_back(span);
    at = span.end;
  }
  return spans;
}

Result<int32_t> tokens_before(const tokenizer::PromptEncoder& encoder, std::string_view text,
                              size_t bytes) {
  DSPARK_TRY(const auto ids, encoder.encode_rendered(text.substr(0, bytes)));
  return static_cast<int32_t>(ids.size());
}

Result<MaskedTokens> mask_conversation(const std::vector<Message>& conversation,
                                       const tokenizer::PromptEncoder& encoder,
                                       const TemplateStyle& style, size_t max_length) {
  Json messages = Json::array();
  for (const Message& turn : conversation)
    messages.push_back(tokenizer::message(turn.role.c_str(), turn.role == "assistant"
                                                                 ? style.loss_prefix + turn.content
                                                                 : turn.content));
  DSPARK_TRY(const std::string text, encoder.render(Json{{"messages", std::move(messages)}}));
  MaskedTokens result;
  DSPARK_TRY(result.ids, encoder.encode_rendered(text));
  result.ids.resize(std::min(result.ids.size(), max_length));
  const auto length = static_cast<int32_t>(result.ids.size());
  for (const AssistantSpan& span : assistant_spans(text, style)) {
    DSPARK_TRY(const int32_t begin, tokens_before(encoder, text, span.begin));
    if (begin >= length) break;  // as are all that follow: long texts cost no more than this
    DSPARK_TRY(const int32_t end, tokens_before(encoder, text, span.end));
    const int32_t low = result.loss.empty() ? begin : std::max(begin, result.loss.back().end);
    if (low < std::min(end, length)) result.loss.push_back({low, std::min(end, length)});
  }
  return result;
}

}  // namespace dspark::learn

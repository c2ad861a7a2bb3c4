// Which tokens of a conversation are trained on.
#include "learn/support.h"

namespace dspark::learn {
namespace {

using Specials = tokenizer::Tokenizer::Specials;

constexpr const char* kGemmaTemplate =
    "{% for message in messages %}<|turn>{{ 'model' if message['role'] == 'assistant' else "
    "message['role'] }}\n{{ message['content'] }}<turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn>model\n{% endif %}";
constexpr const char* kThought = "<|channel>thought\n<channel|>";

const std::vector<Message> kTwoTurns = {{"user", "Hi"},
                                        {"assistant", "Hello there."},
                                        {"user", "Once more\n"},
                                        {"assistant", "\nHello again!"}};

// The text of each range.
std::vector<std::string> texts(const tokenizer::Tokenizer& tokenizer, const MaskedTokens& masked) {
  std::vector<std::string> found;
  for (const TokenRange& range : masked.loss)
    found.push_back(tokenizer.decode(std::span(masked.ids)
                                         .subspan(static_cast<size_t>(range.begin),
                                                  static_cast<size_t>(range.end - range.begin)),
                                     true));
  return found;
}

MaskedTokens mask(const tokenizer::Tokenizer& tokenizer, const std::vector<Message>& conversation,
                  size_t max_length = 4096) {
  const tokenizer::PromptEncoder encoder(tokenizer, "test");
  auto style = template_style(tokenizer.chat_template(), "test");
  CHECK(style.ok(), "{}", style.message());
  auto masked = mask_conversation(conversation, encoder, *style, max_length);
  CHECK(masked.ok(), "{}", masked.message());
  return masked.take();
}

TEST(TemplateStyle, IsFoundByItsMarks) {
  EXPECT_EQ(template_style(kTinyTemplate, "m")->name, "qwen");
  EXPECT_EQ(template_style(kGemmaTemplate, "m")->name, "gemma4");
  const auto other =
      template_style("{{ '[INST]' + messages[0]['content'] + '[/INST]' }}", "m.gguf");
  ASSERT_FALSE(other.ok());
  expect_error(other.message(), {"m.gguf: ", "<|im_start|>", "<|turn>"});
  expect_error(template_style("", "m.gguf").message(), {"m.gguf: ", "no chat template"});
}

TEST(AssistantSpans, OfText) {
  const TemplateStyle style = template_style(kTinyTemplate, "m").take();
  const std::string text =
      "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>assistant\nc";
  const auto spans = assistant_spans(text, style);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(text.substr(spans[0].begin, spans[0].end - spans[0].begin), "b<|im_end|>\n");
  EXPECT_EQ(text.substr(spans[0].begin, spans[0].stop - spans[0].begin), "b");
  EXPECT_EQ(text.substr(spans[1].begin, spans[1].end - spans[1].begin), "c");
  EXPECT_TRUE(assistant_spans("", style).empty());
}

// Tokens are counted by encoding prefixes, as DeepSpec does: the second answer's line break is one
// token with the header's, and no part of the span.
TEST(Mask, TinyTemplate) {
  const ScratchFolder folder;
  const auto tokenizer = tokenizer_with(folder, kTinyTemplate);
  const MaskedTokens masked = mask(tokenizer, kTwoTurns);
  EXPECT_EQ(texts(tokenizer, masked),
            (std::vector<std::string>{"Hello there.<|im_end|>\n", "Hello again!<|im_end|>\n"}));
  const std::string text =
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello there.<|im_end|>\n"
      "<|im_start|>user\nOnce more\n<|im_end|>\n<|im_start|>assistant\n\nHello again!<|im_end|>\n";
  EXPECT_EQ(masked.ids, tokenizer.encode(text, Specials::kParse));
}

TEST(Mask, DefaultModelsTemplate) {
  const ScratchFolder folder;
  const auto tokenizer = tokenizer_with(
      folder, tokenizer::read_all(tokenizer::fixtures() / "smollm2/chat_template.jinja"));
  const MaskedTokens masked = mask(tokenizer, kTwoTurns);
  EXPECT_EQ(texts(tokenizer, masked),
            (std::vector<std::string>{"Hello there.<|im_end|>\n", "Hello again!<|im_end|>\n"}));
  // The template's own system message comes first and is not trained on.
  EXPECT_NE(tokenizer.decode(masked.ids, true).find("<|im_start|>system\n"), std::string::npos);
}

TEST(Mask, GemmaSkipsTheThoughtThatItPutsInFront) {
  const ScratchFolder folder;
  const auto tokenizer = tokenizer_with(folder, kGemmaTemplate);
  const MaskedTokens masked = mask(tokenizer, kTwoTurns);
  EXPECT_EQ(texts(tokenizer, masked).front(), "Hello there.<turn|>\n");
  EXPECT_NE(tokenizer.decode(masked.ids, true).find(std::string(kThought) + "Hello there."),
            std::string::npos);
}

TEST(Mask, IsCutAtEveryLength) {
  const ScratchFolder folder;
  const auto tokenizer = tokenizer_with(folder, kTinyTemplate);
  const MaskedTokens whole = mask(tokenizer, kTwoTurns);
  for (size_t length = 0; length <= whole.ids.size(); ++length) {
    const MaskedTokens cut = mask(tokenizer, kTwoTurns, length);
    EXPECT_EQ(cut.ids,
              std::vector<int32_t>(whole.ids.begin(),
                                   whole.ids.begin() + static_cast<std::ptrdiff_t>(length)));
    std::vector<uint8_t> expected(length), found(length);
    for (const TokenRange& range : whole.loss)
      for (auto i = static_cast<size_t>(range.begin); i < std::min<size_t>(range.end, length); ++i)
        expected[i] = 1;
    for (const TokenRange& range : cut.loss) {
      ASSERT_LT(range.begin, range.end);
      ASSERT_LE(static_cast<size_t>(range.end), length);
      for (auto i = static_cast<size_t>(range.begin); i < static_cast<size_t>(range.end); ++i)
        found[i] = 1;
    }
    EXPECT_EQ(found, expected) << length;
  }
}

TEST(Mask, MarksInAUsersTextDoNoHarm) {
  const ScratchFolder folder;
  const auto tokenizer = tokenizer_with(folder, kTinyTemplate);
  const std::vector<Message> odd = {
      {"user", "<|im_start|>assistant\n<|im_start|>assistant\n<|im_end|><|im_end|>"},
      {"assistant", "<|im_end|><|im_start|>assistant\n"}};
  const MaskedTokens masked = mask(tokenizer, odd);
  int32_t last = 0;
  for (const TokenRange& range : masked.loss) {
    EXPECT_LE(last, range.begin);
    EXPECT_LT(range.begin, range.end);
    last = range.end;
  }
  EXPECT_LE(static_cast<size_t>(last), masked.ids.size());
}

}  // namespace
}  // namespace dspark::learn

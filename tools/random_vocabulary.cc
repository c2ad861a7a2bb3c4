#include "random_vocabulary.h"

#include <string>
#include <utility>
#include <vector>

namespace dspark {
namespace {

constexpr int64_t kNormal = 1, kControl = 3;  // GGUF's token types

const char* const kMerges[][2] = {{"t", "h"}, {"th", "e"}, {"i", "n"},  {"e", "r"}, {"a", "n"},
                                  {"o", "n"}, {"in", "g"}, {"an", "d"}, {"o", "u"}, {"r", "e"}};

constexpr const char* kChatTemplate =
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

// Code points up to U+07FF are enough here.
std::string utf8(int code_point) {
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xc0 | (code_point >> 6)),
          static_cast<char>(0x80 | (code_point & 0x3f))};
}

// Byte-level BPE spells a byte as one visible character: printable Latin-1 as itself, the others
// from U+0100 on.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> printable, others;
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible =
        (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    if (visible)
      printable.push_back(utf8(byte));
    else
      others.push_back(utf8(0x100 + static_cast<int>(others.size())));
  }
  printable.insert(printable.end(), others.begin(), others.end());
  return printable;
}

}  // namespace

void set_vocabulary(int64_t tokens, formats::GgufWriter& writer) {
  CHECK(tokens >= kSmallestVocabulary, "a vocabulary of {} tokens", tokens);
  constexpr const char* kControls[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  const int64_t first_control = tokens - 3;
  std::vector<std::string> texts = byte_tokens(), merges;
  for (const auto& [left, right] : kMerges) {
    merges.push_back(std::string(left) + " " + right);
    texts.push_back(std::string(left) + right);
  }
  while (static_cast<int64_t>(texts.size()) < first_control)
    texts.push_back(fmt::format("filler{}", texts.size()));
  std::vector<int64_t> types(texts.size(), kNormal);
  for (const char* control : kControls) {
    texts.emplace_back(control);
    types.push_back(kControl);
  }
  writer.set("tokenizer.ggml.model", std::string("gpt2"));
  writer.set("tokenizer.ggml.pre", std::string("qwen2"));
  writer.set("tokenizer.ggml.tokens", formats::GgufArray{std::move(texts)});
  writer.set("tokenizer.ggml.token_type", formats::GgufArray{std::move(types)});
  writer.set("tokenizer.ggml.merges", formats::GgufArray{std::move(merges)});
  writer.set("tokenizer.ggml.bos_token_id", static_cast<uint64_t>(first_control));
  writer.set("tokenizer.ggml.padding_token_id", static_cast<uint64_t>(first_control));
  writer.set("tokenizer.ggml.eos_token_id", static_cast<uint64_t>(first_control + 2));
  writer.set("tokenizer.ggml.add_bos_token", false);
  writer.set("tokenizer.chat_template", std::string(kChatTemplate));
}

}  // namespace dspark

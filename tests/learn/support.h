// A tokenizer of bytes with a chat template, and small helpers.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/scratch_folder.h"
#include "learn/learn.h"
#include "tokenizer/goldens.h"

namespace dspark::learn {

inline constexpr const char* kTinyTemplate =
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// The qwen3 golden tokenizer with this chat template.
inline tokenizer::Tokenizer tokenizer_with(const ScratchFolder& folder, const std::string& text) {
  std::filesystem::create_directories(folder / "model");
  const auto from = tokenizer::families() / "qwen3" / "tokenizer.json";
  std::filesystem::copy_file(from, folder / "model/tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  folder.write("model/chat_template.jinja", text);
  auto tokenizer = tokenizer::Tokenizer::open(folder / "model");
  CHECK(tokenizer.ok(), "{}", tokenizer.message());
  return tokenizer.take();
}

inline void expect_error(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
}

}  // namespace dspark::learn

// What a file holds, as a name for it: XXH3 of 64 bits in 16 hex digits.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/base.h"

namespace dspark::apps {

std::string hash_of(std::string_view bytes);
Result<std::string> hash_of_file(const std::filesystem::path& file);
// A GGUF file's; of a Hugging Face directory, its config, tokenizer and weights together.
Result<std::string> hash_of_model(const std::filesystem::path& model);

// The last part of a path, fit to be shown and stored.
std::string name_of(const std::filesystem::path& path);

}  // namespace dspark::apps

// Prompts to be answered: JSONL rows {"id", "turns": [text, ...]}, or {"id", "conversations"} as
// DeepSpec has them, of which the user's turns count and the answers are made anew.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/base.h"
#include "learn/faults.h"

namespace dspark::learn {

struct Prompt {
  std::string id;  // unique; the line's number where the row has none
  size_t line = 0;
  std::vector<std::string> turns;  // at least one
};

struct PromptSet {
  std::vector<Prompt> rows;
  Faults faults;       // rows left out: not a row of prompts, or an id used before
  std::string digest;  // of the file's bytes
};

// strict: the first fault is an error. A file without a usable row is one always.
Result<PromptSet> read_prompts(const std::filesystem::path& file, bool strict);

// What an answer draws its noise and its temperature from: a function of the two alone.
uint64_t row_hash(uint64_t seed, std::string_view id);

}  // namespace dspark::learn

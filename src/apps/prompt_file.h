// A prompt file: JSONL rows {"id", "turns": [text, ...]} or {"id", "ids": [token ids]}.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "apps/json_lines.h"

namespace dspark::apps {

struct PromptRow {
  Json id;  // a string or a whole number, as given; the line's number where absent
  std::vector<std::string> turns;  // user messages, or empty:
  std::vector<int32_t> ids;        // the prompt as token ids
};

// At least one row. Keys other than these are ignored. Errors name the file and the line.
Result<std::vector<PromptRow>> read_prompt_file(const std::filesystem::path& file);

}  // namespace dspark::apps

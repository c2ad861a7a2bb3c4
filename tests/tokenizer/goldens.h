// The golden files under tests/fixtures and tests/data.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tokenizer/bpe.h"

namespace dspark::tokenizer {

inline std::filesystem::path fixtures() {
  return std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/fixtures";
}
// Written by tools/oracle/make_tokenizer_goldens.py.
inline std::filesystem::path families() {
  return std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/data/tokenizers";
}

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::vector<nlohmann::json> read_lines(const std::filesystem::path& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream in(path, std::ios::binary);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  EXPECT_FALSE(lines.empty()) << path;
  return lines;
}

// The default model's file; empty where it has not been fetched.
inline std::filesystem::path smollm2_gguf() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder =
      cache != nullptr && *cache != 0
          ? std::filesystem::path(cache)
          : std::filesystem::path(home == nullptr ? "" : home) / ".cache";
  folder /= "dspark/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf";
  return std::filesystem::exists(folder) ? folder : std::filesystem::path();
}

// Every line of a golden file: the ids, and what they decode to where the line says.
inline void expect_goldens(const Tokenizer& tokenizer, const std::filesystem::path& path,
                           Tokenizer::Specials specials, bool decodes) {
  for (const nlohmann::json& line : read_lines(path)) {
    const auto wanted = line["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.encode(line["text"].get<std::string>(), specials), wanted) << line.dump();
    if (!decodes || !line.contains("decoded")) continue;
    EXPECT_EQ(tokenizer.decode(wanted, true), line["decoded"].get<std::string>()) << line.dump();
  }
}

}  // namespace dspark::tokenizer

// Splitting text into the pieces that BPE works on, by the regular expressions of the model
// families or of a tokenizer.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "tokenizer/regex.h"

namespace dspark::tokenizer {

// What becomes of a match; the text between matches is always a piece.
enum class SplitBehaviour {
  kIsolated,
  kRemoved,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,
};

class PreTokenizer {
 public:
  // Adds the stages of a family by its GGUF name ("smollm", "qwen2", ...); false when the name is
  // unknown.
  bool add_family(std::string_view name);
  static const char* known_families();

  // Adds one more stage. invert: the pattern describes what lies between the separators.
  Status add_split(const std::string& pattern, SplitBehaviour behaviour, bool invert,
                   const std::string& where);

  // Splits valid UTF-8; pieces are views of text, in order, none empty.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

  static const char* gpt2_pattern();

 private:
  struct Stage {
    Regex regex;
    SplitBehaviour behaviour;
    bool invert;
  };
  static void run(const Stage& stage, std::string_view text, std::vector<std::string_view>& pieces);
  std::vector<Stage> stages_;
};

}  // namespace dspark::tokenizer

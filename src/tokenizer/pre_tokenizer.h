// Splitting text into the pieces that BPE works on, by the regular expressions of the model families or of a
// tokenizer.json (untrusted: compiled and matched under limits).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace dspark::tokenizer {

// What becomes of a match; the text between matches is always a piece.
enum class SplitBehaviour { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

class PreTokenizer {
 public:
  PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // The stages of a family by its GGUF name ("smollm", "qwen2", "llama-bpe", "gpt-2", "default"); false when
  // the name is unknown.
  bool add_family(std::string_view name);
  static const char* known_families();

  // A further stage. invert: the pattern describes the pieces, not the separators.
  Status add_split(const std::string& pattern, SplitBehaviour behaviour, bool invert, const std::string& where);

  // Splits valid UTF-8; pieces are views of text, in order.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

  static const char* gpt2_pattern();

 private:
  struct Stage;
  std::vector<std::unique_ptr<Stage>> stages_;
};

}  // namespace dspark::tokenizer

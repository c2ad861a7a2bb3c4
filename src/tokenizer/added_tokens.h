// Tokens that are looked for in the text before anything else.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dspark::tokenizer {

inline constexpr size_t kMaxAddedBytes = 1024;

struct AddedToken {
  int32_t id = -1;
  bool control = false;      // found only when specials are parsed
  bool strip_left = false;   // takes the white space before it along
  bool strip_right = false;  // and that after it
  bool single_word = false;  // not beside a letter, digit, mark or joiner
};

class AddedTokens {
 public:
  // text is not empty. Of two tokens with the same text the first counts.
  void add(std::string text, AddedToken token) { tokens_.push_back({std::move(text), token}); }
  void finish();  // after the last add
  bool empty() const { return tokens_.empty(); }

  struct Match {
    size_t begin, end;
    int32_t id;
  };
  // The matches in text, left to right, the longest at each place, without overlap.
  void find(std::string_view text, bool with_control, std::vector<Match>& matches) const;

 private:
  struct Entry {
    std::string text;
    AddedToken token;
  };
  const Entry* longest_at(std::string_view text, bool with_control) const;
  std::vector<Entry> tokens_;  // sorted by text
  struct Span {
    uint32_t begin = 0, end = 0;
  };
  std::array<Span, 256> by_first_byte_;  // of tokens_
};

}  // namespace dspark::tokenizer

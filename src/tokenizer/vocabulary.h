// The vocabulary and merges of a BPE tokenizer, in flat arrays.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/base.h"

namespace dspark::tokenizer {

inline constexpr int32_t kMaxVocab = 1 << 22;
inline constexpr size_t kMaxTokenBytes = 1 << 16;

enum class TokenKind : uint8_t { kNormal, kControl, kUserDefined, kByte, kUnused };
enum class Spelling : uint8_t {
  kByteLevel,  // GPT-2's: every byte is one printable character
  kPlain,      // Gemma's: text itself, U+2581 for a space, <0xXX> for bytes
};

// GPT-2's printable stand-in of a byte, as UTF-8, and the byte of a code point (-1 when it is none).
const std::string& byte_spelling(uint8_t byte);
int byte_of_spelling(uint32_t code_point);

// Decodes one UTF-8 character at text[0]; length 0 when the bytes are no valid character.
struct Utf8Char {
  uint32_t code_point;
  int length;
};
Utf8Char read_utf8(std::string_view text);

class Vocabulary {
 public:
  // texts[id], kinds[id]. An error names the file and the id: too many tokens, one too long, duplicates.
  static Result<Vocabulary> create(const std::string& file, std::vector<std::string> texts,
                                   std::vector<TokenKind> kinds, Spelling spelling);

  int32_t size() const { return static_cast<int32_t>(kinds_.size()); }
  std::string_view text(int32_t id) const { return slice(texts_, text_ends_, id); }
  std::string_view bytes(int32_t id) const { return slice(bytes_, byte_ends_, id); }  // what it stands for
  TokenKind kind(int32_t id) const { return kinds_[static_cast<size_t>(id)]; }
  int32_t find(std::string_view text) const;  // -1 when absent
  int32_t byte_token(uint8_t byte) const { return byte_tokens_[byte]; }  // -1 when absent
  Spelling spelling() const { return spelling_; }
  uint64_t hash() const;

  // Merges in order of rank. An error when a part or the result is no token.
  Status add_merges(const std::string& file, const std::vector<std::pair<std::string, std::string>>& merges);
  struct Merge {
    uint32_t rank;
    int32_t id;  // -1: the pair does not merge
  };
  Merge merge(int32_t left, int32_t right) const;

 private:
  static std::string_view slice(const std::string& all, const std::vector<uint32_t>& ends, int32_t id) {
    const auto i = static_cast<size_t>(id);
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(all).substr(begin, ends[i] - begin);
  }
  size_t slot_of(std::string_view text) const;

  Spelling spelling_ = Spelling::kByteLevel;
  std::string texts_, bytes_;
  std::vector<uint32_t> text_ends_, byte_ends_;
  std::vector<TokenKind> kinds_;
  std::vector<int32_t> by_text_;  // open addressing; -1 empty
  int32_t byte_tokens_[256];
  struct Entry {
    uint64_t pair;  // left << 32 | right
    Merge merge;
  };
  std::vector<Entry> merges_;  // open addressing; merge.id -1 empty
};

}  // namespace dspark::tokenizer

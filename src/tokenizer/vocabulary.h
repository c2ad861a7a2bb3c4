// The vocabulary and merges of a BPE tokenizer, in flat arrays.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/base.h"
#include "tokenizer/spelling.h"

namespace dspark::tokenizer {

inline constexpr int32_t kMaxVocab = 1 << 22;
inline constexpr size_t kMaxTokenBytes = 1 << 16;

class Vocabulary {
 public:
  Vocabulary();
  // texts[id], kinds[id]; an empty text of kind kUnused is a hole between ids. An error names the
  // file and the id: too many tokens, one too long, duplicates.
  static Result<Vocabulary> create(const std::string& file,
                                   const std::vector<std::string_view>& texts,
                                   std::vector<TokenKind> kinds, Spelling spelling);

  int32_t size() const { return static_cast<int32_t>(kinds_.size()); }
  bool contains(int64_t id) const { return id >= 0 && id < size(); }
  std::string_view text(int32_t id) const { return slice(texts_, text_ends_, id); }
  std::string_view bytes(int32_t id) const { return slice(bytes_, byte_ends_, id); }
  TokenKind kind(int32_t id) const { return kinds_[static_cast<size_t>(id)]; }
  Spelling spelling() const { return spelling_; }

  int32_t find(std::string_view text) const;                                    // -1 when absent
  int32_t find_ascii(char c) const { return ascii_[static_cast<uint8_t>(c)]; }  // c < 0x80
  int32_t byte_token(uint8_t byte) const { return byte_tokens_[byte]; }         // -1 when absent
  uint64_t fingerprint() const;  // of ids, texts, which are added, and merges

  // Parts in order of rank. An error when a part or the result is no token. Of a pair that comes
  // twice the first rank counts.
  Status add_merges(const std::string& file,
                    const std::vector<std::pair<std::string_view, std::string_view>>& merges);
  struct Merge {
    uint32_t rank;
    int32_t id;  // -1: the pair does not merge
  };
  Merge merge(int32_t left, int32_t right) const;
  // Whether any merge joins two tokens of which the left ends with the character token `left` and
  // the right begins with `right`. True may be wrong, false never is: text can be cut there before
  // merging.
  bool may_join(int32_t left, int32_t right) const;

 private:
  static std::string_view slice(const std::string& all, const std::vector<uint32_t>& ends,
                                int32_t id) {
    const auto i = static_cast<size_t>(id);
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(all).substr(begin, ends[i] - begin);
  }
  size_t slot_of(std::string_view text) const;
  uint64_t hash_pair(int32_t left, int32_t right) const;
  void note_join(std::string_view left, std::string_view right);

  uint64_t seed_;  // of the tables, so that a file cannot aim at collisions
  Spelling spelling_ = Spelling::kByteLevel;
  std::string texts_, bytes_;
  std::vector<uint32_t> text_ends_, byte_ends_;
  std::vector<TokenKind> kinds_;
  std::vector<int32_t> by_text_;  // open addressing; -1 empty
  std::array<int32_t, 256> byte_tokens_;
  std::array<int32_t, 128> ascii_;
  struct Entry {
    uint64_t pair;  // left << 32 | right
    Merge merge;
  };
  std::vector<Entry> merges_;    // open addressing; merge.id -1 empty
  std::vector<uint64_t> joins_;  // bits, by hash of the two character tokens; empty: all may join
};

}  // namespace dspark::tokenizer

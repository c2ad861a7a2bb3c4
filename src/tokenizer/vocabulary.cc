#include "tokenizer/vocabulary.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <random>

#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

uint64_t random_odd() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32 | device()) | 1;
}

// The character that text ends with; empty where its bytes are no valid character.
std::string_view last_character(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0 && text.size() - begin < 4) {
    --begin;
    if ((static_cast<uint8_t>(text[begin]) & 0xc0) != 0x80) break;
  }
  const std::string_view last = text.substr(begin);
  return !last.empty() && static_cast<size_t>(read_utf8(last).length) == last.size() ? last : "";
}

}  // namespace

Vocabulary::Vocabulary() : seed_(random_odd()) {
  byte_tokens_.fill(-1);
  ascii_.fill(-1);
}

Result<Vocabulary> Vocabulary::create(const std::string& file,
                                      const std::vector<std::string_view>& texts,
                                      std::vector<TokenKind> kinds, Spelling spelling) {
  CHECK(texts.size() == kinds.size());
  if (texts.size() > static_cast<size_t>(kMaxVocab))
    return fail("{}: {} tokens, expected at most {}", file, texts.size(), kMaxVocab);
  size_t all_bytes = 0;
  for (std::string_view text : texts) all_bytes += text.size();
  if (all_bytes > UINT32_MAX)
    return fail("{}: the vocabulary has {} bytes of text, expected less than 2^32", file,
                all_bytes);
  Vocabulary v;
  v.spelling_ = spelling;
  v.kinds_ = std::move(kinds);
  v.texts_.reserve(all_bytes);
  v.text_ends_.reserve(texts.size());
  v.byte_ends_.reserve(texts.size());
  v.by_text_.assign(std::bit_ceil(texts.size() * 2 + 16), -1);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string_view text = texts[i];
    const TokenKind kind = v.kinds_[i];
    if (text.size() > kMaxTokenBytes)
      return fail("{}: token {}: {} bytes, expected at most {}", file, i, text.size(),
                  kMaxTokenBytes);
    if (kind == TokenKind::kByte && fallback_byte(text) < 0)
      return fail("{}: token {}: {} is marked as a byte, expected <0xXX>", file, i,
                  in_quotes(text));
    v.texts_ += text;
    v.text_ends_.push_back(static_cast<uint32_t>(v.texts_.size()));
    if (kind != TokenKind::kUnused) append_bytes(text, kind, spelling, v.bytes_);
    v.byte_ends_.push_back(static_cast<uint32_t>(v.bytes_.size()));
    if (kind == TokenKind::kUnused && text.empty()) continue;
    const size_t slot = v.slot_of(text);
    if (v.by_text_[slot] >= 0)
      return fail("{}: tokens {} and {} are both {}", file, v.by_text_[slot], i, in_quotes(text));
    v.by_text_[slot] = static_cast<int32_t>(i);
    if (spelling == Spelling::kPlain && kind == TokenKind::kByte)
      v.byte_tokens_[static_cast<size_t>(fallback_byte(text))] = static_cast<int32_t>(i);
  }
  v.bytes_.shrink_to_fit();
  for (size_t c = 0; c < 128; ++c) v.ascii_[c] = v.find(std::string(1, static_cast<char>(c)));
  if (spelling == Spelling::kByteLevel)
    for (size_t b = 0; b < 256; ++b)
      v.byte_tokens_[b] = v.find(byte_spelling(static_cast<uint8_t>(b)));
  return v;
}

// The text's own slot, or the first empty one.
size_t Vocabulary::slot_of(std::string_view text) const {
  const size_t mask = by_text_.size() - 1;
  size_t slot = XXH3_64bits_withSeed(text.data(), text.size(), seed_) & mask;
  while (by_text_[slot] >= 0 && this->text(by_text_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

int32_t Vocabulary::find(std::string_view text) const {
  return by_text_.empty() ? -1 : by_text_[slot_of(text)];
}

uint64_t Vocabulary::fingerprint() const {
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (int32_t id = 0; id < size(); ++id) {
    // Files pad their tables with unused tokens, and differ in whether an added token is one of
    // control or of the user.
    if (kind(id) == TokenKind::kUnused) continue;
    const bool added = kind(id) == TokenKind::kControl || kind(id) == TokenKind::kUserDefined;
    const uint64_t head[3] = {static_cast<uint64_t>(id), added, text(id).size()};
    XXH3_64bits_update(state, head, sizeof head);
    XXH3_64bits_update(state, text(id).data(), text(id).size());
  }
  std::vector<const Entry*> by_rank;
  for (const Entry& entry : merges_)
    if (entry.merge.id >= 0) by_rank.push_back(&entry);
  std::sort(by_rank.begin(), by_rank.end(),
            [](const Entry* a, const Entry* b) { return a->merge.rank < b->merge.rank; });
  for (const Entry* entry : by_rank) XXH3_64bits_update(state, &entry->pair, sizeof entry->pair);
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return hash;
}

uint64_t Vocabulary::hash_pair(int32_t left, int32_t right) const {
  uint64_t x = (static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right)) * seed_;
  x ^= x >> 32;
  x *= 0x9e3779b97f4a7c15ull;
  return x ^ x >> 32;
}

Status Vocabulary::add_merges(
    const std::string& file,
    const std::vector<std::pair<std::string_view, std::string_view>>& merges) {
  if (merges.size() > size_t{kMaxVocab} * 4)
    return fail("{}: {} merges, expected at most {}", file, merges.size(), size_t{kMaxVocab} * 4);
  merges_.assign(std::bit_ceil(merges.size() * 2 + 16), {0, {0, -1}});
  joins_.assign(std::clamp<size_t>(std::bit_ceil(merges.size()) / 4, 64, 1 << 16), 0);
  const size_t mask = merges_.size() - 1;
  bool of_bytes = false;  // then the characters that the parts are spelled with say nothing
  std::string result;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    result.assign(left).append(right);
    const int32_t l = find(left), r = find(right), id = find(result);
    if (l < 0 || r < 0 || id < 0)
      return fail("{}: merge {}: {} + {}: {} is no token", file, rank, in_quotes(left),
                  in_quotes(right),
                  l < 0   ? "the left part"
                  : r < 0 ? "the right part"
                          : "the result");
    of_bytes = of_bytes || kind(l) == TokenKind::kByte || kind(r) == TokenKind::kByte;
    note_join(left, right);
    const uint64_t pair = static_cast<uint64_t>(l) << 32 | static_cast<uint32_t>(r);
    size_t slot = hash_pair(l, r) & mask;
    while (merges_[slot].merge.id >= 0 && merges_[slot].pair != pair) slot = (slot + 1) & mask;
    if (merges_[slot].merge.id < 0) merges_[slot] = {pair, {static_cast<uint32_t>(rank), id}};
  }
  if (of_bytes) joins_.clear();
  return {};
}

// Characters without a token cannot be reached by merging, so they need no note.
void Vocabulary::note_join(std::string_view left, std::string_view right) {
  const std::string_view end = last_character(left);
  const std::string_view begin = right.substr(0, static_cast<size_t>(read_utf8(right).length));
  const auto token = [this](std::string_view c) {
    return c.empty() ? -1 : c.size() == 1 ? find_ascii(c[0]) : find(c);
  };
  const int32_t l = token(end), r = token(begin);
  if (l < 0 || r < 0) return;
  const uint64_t bit = hash_pair(l, r) & (joins_.size() * 64 - 1);
  joins_[bit / 64] |= uint64_t{1} << bit % 64;
}

bool Vocabulary::may_join(int32_t left, int32_t right) const {
  if (joins_.empty()) return true;
  const uint64_t bit = hash_pair(left, right) & (joins_.size() * 64 - 1);
  return joins_[bit / 64] >> bit % 64 & 1;
}

Vocabulary::Merge Vocabulary::merge(int32_t left, int32_t right) const {
  if (merges_.empty()) return {0, -1};
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  const size_t mask = merges_.size() - 1;
  for (size_t slot = hash_pair(left, right) & mask;; slot = (slot + 1) & mask) {
    if (merges_[slot].merge.id < 0) return {0, -1};
    if (merges_[slot].pair == pair) return merges_[slot].merge;
  }
}

}  // namespace dspark::tokenizer

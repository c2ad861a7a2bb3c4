#include "tokenizer/vocabulary.h"

#include <xxhash.h>

#include <array>
#include <bit>

namespace dspark::tokenizer {
namespace {

// GPT-2 keeps the printable bytes of Latin-1 and moves the other 68 to U+0100 and up, in order.
struct ByteSpellings {
  std::array<std::string, 256> text;
  std::array<int16_t, 512> byte;
  ByteSpellings() {
    byte.fill(-1);
    uint32_t moved = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
      const uint32_t code = printable ? b : moved++;
      byte[code] = static_cast<int16_t>(b);
      if (code < 128) {
        text[b] = static_cast<char>(code);
      } else {
        text[b] += static_cast<char>(0xc0 | code >> 6);
        text[b] += static_cast<char>(0x80 | (code & 0x3f));
      }
    }
  }
};
const ByteSpellings& spellings() {
  static const ByteSpellings table;
  return table;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The byte of "<0xXX>", or -1.
int fallback_byte(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const int high = hex_digit(text[3]), low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::string bytes_of(std::string_view text, TokenKind kind, Spelling spelling) {
  if (kind == TokenKind::kControl || kind == TokenKind::kUserDefined) return std::string(text);
  std::string bytes;
  if (spelling == Spelling::kPlain) {
    if (kind == TokenKind::kByte) return std::string(1, static_cast<char>(fallback_byte(text)));
    for (size_t at; (at = text.find("\xe2\x96\x81")) != std::string_view::npos; text.remove_prefix(at + 3)) {
      bytes += text.substr(0, at);
      bytes += ' ';
    }
    return bytes += text;
  }
  while (!text.empty()) {
    const Utf8Char c = read_utf8(text);
    const int length = c.length == 0 ? 1 : c.length;
    const int byte = c.length == 0 ? -1 : byte_of_spelling(c.code_point);
    if (byte >= 0) bytes += static_cast<char>(byte);
    else bytes += text.substr(0, static_cast<size_t>(length));  // not spelled by bytes: stands for itself
    text.remove_prefix(static_cast<size_t>(length));
  }
  return bytes;
}

uint64_t hash_pair(uint64_t pair) {
  pair *= 0x9e3779b97f4a7c15ull;
  return pair ^ pair >> 29;
}

}  // namespace

const std::string& byte_spelling(uint8_t byte) { return spellings().text[byte]; }
int byte_of_spelling(uint32_t code_point) { return code_point < 512 ? spellings().byte[code_point] : -1; }

Utf8Char read_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (text.empty()) return {0, 0};
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const int length = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xc2 && first < 0xe0 ? 2 : 0;
  if (length == 0 || text.size() < static_cast<size_t>(length)) return {0, 0};
  uint32_t code = first & (0x7fu >> length);
  for (int i = 1; i < length; ++i) {
    if ((byte(static_cast<size_t>(i)) & 0xc0) != 0x80) return {0, 0};
    code = code << 6 | (byte(static_cast<size_t>(i)) & 0x3f);
  }
  const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {0, 0};
  return {code, length};
}

Result<Vocabulary> Vocabulary::create(const std::string& file, std::vector<std::string> texts,
                                      std::vector<TokenKind> kinds, Spelling spelling) {
  CHECK(texts.size() == kinds.size());
  if (texts.size() > static_cast<size_t>(kMaxVocab))
    return fail("{}: {} tokens, expected at most {}", file, texts.size(), kMaxVocab);
  Vocabulary v;
  v.spelling_ = spelling;
  v.kinds_ = std::move(kinds);
  std::fill(std::begin(v.byte_tokens_), std::end(v.byte_tokens_), -1);
  v.by_text_.assign(std::bit_ceil(texts.size() * 2 + 16), -1);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    const auto id = static_cast<int32_t>(i);
    if (text.size() > kMaxTokenBytes)
      return fail("{}: token {}: {} bytes, expected at most {}", file, i, text.size(), kMaxTokenBytes);
    if (v.texts_.size() + text.size() > UINT32_MAX) return fail("{}: the vocabulary's text is too long", file);
    if (v.kinds_[i] == TokenKind::kByte && fallback_byte(text) < 0)
      return fail("{}: token {}: \"{}\" is marked as a byte but is not <0xXX>", file, i, text);
    v.texts_ += text;
    v.text_ends_.push_back(static_cast<uint32_t>(v.texts_.size()));
    if (v.kinds_[i] != TokenKind::kUnused) v.bytes_ += bytes_of(text, v.kinds_[i], spelling);
    v.byte_ends_.push_back(static_cast<uint32_t>(v.bytes_.size()));
    if (v.kinds_[i] == TokenKind::kUnused && text.empty()) continue;  // a hole between ids
    const size_t slot = v.slot_of(text);
    if (v.by_text_[slot] >= 0)
      return fail("{}: tokens {} and {} are both \"{}\"", file, v.by_text_[slot], i, text);
    v.by_text_[slot] = id;
    if (spelling == Spelling::kPlain && v.kinds_[i] == TokenKind::kByte)
      v.byte_tokens_[fallback_byte(text)] = id;
  }
  if (spelling == Spelling::kByteLevel)
    for (int b = 0; b < 256; ++b) v.byte_tokens_[b] = v.find(byte_spelling(static_cast<uint8_t>(b)));
  return v;
}

size_t Vocabulary::slot_of(std::string_view text) const {
  const size_t mask = by_text_.size() - 1;
  size_t slot = XXH3_64bits(text.data(), text.size()) & mask;
  // The text's own slot, or the first empty one. While creating, ids beyond the ends so far do not occur.
  while (by_text_[slot] >= 0 && this->text(by_text_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

int32_t Vocabulary::find(std::string_view text) const { return by_text_.empty() ? -1 : by_text_[slot_of(text)]; }

uint64_t Vocabulary::hash() const {
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (int32_t id = 0; id < size(); ++id) {
    const uint64_t head[2] = {static_cast<uint64_t>(kind(id)), bytes(id).size()};
    XXH3_64bits_update(state, head, sizeof head);
    XXH3_64bits_update(state, bytes(id).data(), bytes(id).size());
  }
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return hash;
}

Status Vocabulary::add_merges(const std::string& file,
                              const std::vector<std::pair<std::string, std::string>>& merges) {
  merges_.assign(std::bit_ceil(merges.size() * 2 + 16), {0, {0, -1}});
  const size_t mask = merges_.size() - 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const int32_t l = find(left), r = find(right), id = find(left + right);
    if (l < 0 || r < 0 || id < 0)
      return fail("{}: merge {}: \"{}\" + \"{}\": {} is no token", file, rank, left, right,
                  l < 0 ? "the left part" : r < 0 ? "the right part" : "the result");
    const uint64_t pair = static_cast<uint64_t>(l) << 32 | static_cast<uint32_t>(r);
    size_t slot = hash_pair(pair) & mask;
    while (merges_[slot].merge.id >= 0 && merges_[slot].pair != pair) slot = (slot + 1) & mask;
    if (merges_[slot].merge.id < 0) merges_[slot] = {pair, {static_cast<uint32_t>(rank), id}};
  }
  return {};
}

Vocabulary::Merge Vocabulary::merge(int32_t left, int32_t right) const {
  if (merges_.empty()) return {0, -1};
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  const size_t mask = merges_.size() - 1;
  for (size_t slot = hash_pair(pair) & mask;; slot = (slot + 1) & mask) {
    if (merges_[slot].merge.id < 0) return {0, -1};
    if (merges_[slot].pair == pair) return merges_[slot].merge;
  }
}

}  // namespace dspark::tokenizer

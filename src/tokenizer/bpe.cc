#include "tokenizer/bpe.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "tokenizer/bpe_impl.h"

namespace dspark::tokenizer {
namespace {

constexpr const char* kReplacement = "\xef\xbf\xbd";  // U+FFFD

// Control tokens by which public models end a turn, besides what the file names.
constexpr const char* kEndOfTurn[] = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>",
                                      "<|end|>",    "<end_of_turn>", "<turn|>"};

std::string to_nfc(std::string_view text) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (length < 0) return std::string(text);
  std::string result(reinterpret_cast<const char*>(mapped), static_cast<size_t>(length));
  std::free(mapped);
  return result;
}

std::string replace_all(std::string_view text, const std::string& from, const std::string& to) {
  std::string result;
  for (size_t at; (at = text.find(from)) != std::string_view::npos; text.remove_prefix(at + from.size())) {
    result += text.substr(0, at);
    result += to;
  }
  return result += text;
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool all_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

}  // namespace

void Tokenizer::Impl::finish() {
  for (auto& list : added_by_first_byte) list.clear();
  for (size_t i = 0; i < added.size(); ++i) {
    const std::string_view text = vocabulary.text(added[i].id);
    if (!text.empty()) added_by_first_byte[static_cast<uint8_t>(text[0])].push_back(static_cast<int>(i));
  }
  for (auto& list : added_by_first_byte)
    std::sort(list.begin(), list.end(), [this](int a, int b) {
      const auto text = [this](int i) { return vocabulary.text(added[static_cast<size_t>(i)].id); };
      return text(a).size() != text(b).size() ? text(a).size() > text(b).size() : a < b;
    });
  if (eos_id >= 0) stop_ids.push_back(eos_id);
  for (const char* text : kEndOfTurn)
    if (const int32_t id = vocabulary.find(text); id >= 0 && vocabulary.kind(id) == TokenKind::kControl)
      stop_ids.push_back(id);
  std::sort(stop_ids.begin(), stop_ids.end());
  stop_ids.erase(std::unique(stop_ids.begin(), stop_ids.end()), stop_ids.end());
}

// The piece as token ids before any merge.
void Tokenizer::Impl::symbols_of(std::string_view piece, std::vector<int32_t>& symbols) const {
  symbols.clear();
  if (vocabulary.spelling() == Spelling::kByteLevel) {
    for (char c : piece)
      if (const int32_t id = vocabulary.byte_token(static_cast<uint8_t>(c)); id >= 0) symbols.push_back(id);
    return;
  }
  while (!piece.empty()) {
    const auto length = static_cast<size_t>(std::max(1, read_utf8(piece).length));
    const std::string_view character = piece.substr(0, length);
    piece.remove_prefix(length);
    if (const int32_t id = vocabulary.find(character); id >= 0) {
      symbols.push_back(id);
      continue;
    }
    bool as_bytes = byte_fallback;
    for (char c : character) as_bytes = as_bytes && vocabulary.byte_token(static_cast<uint8_t>(c)) >= 0;
    if (as_bytes)
      for (char c : character) symbols.push_back(vocabulary.byte_token(static_cast<uint8_t>(c)));
    else if (unknown_id >= 0 && !(fuse_unknown && !symbols.empty() && symbols.back() == unknown_id))
      symbols.push_back(unknown_id);
  }
}

void Tokenizer::Impl::encode_piece(std::string_view piece, std::vector<int32_t>& ids) const {
  if (ignore_merges) {
    std::string spelled;
    if (vocabulary.spelling() == Spelling::kByteLevel)
      for (char c : piece) spelled += byte_spelling(static_cast<uint8_t>(c));
    else spelled = piece;
    if (const int32_t id = vocabulary.find(spelled); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  std::vector<int32_t> symbols;
  symbols_of(piece, symbols);
  merge_symbols(vocabulary, symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void Tokenizer::Impl::encode_valid(std::string_view text, bool first, std::vector<int32_t>& ids) const {
  std::string normalised;
  if (nfc && !all_ascii(text)) text = normalised = to_nfc(text);
  for (const auto& [from, to] : replacements) {
    std::string replaced = replace_all(text, from, to);
    normalised = std::move(replaced);
    text = normalised;
  }
  if (first && !prefix.empty() && !text.starts_with(prefix)) {
    normalised = prefix + std::string(text);
    text = normalised;
  }
  std::vector<std::string_view> pieces;
  pre_tokenizer.split(text, pieces);
  for (std::string_view piece : pieces) encode_piece(piece, ids);
}

// Text without added tokens; bytes that are no UTF-8 become byte tokens.
void Tokenizer::Impl::encode_text(std::string_view text, bool first, std::vector<int32_t>& ids) const {
  size_t begin = 0, at = 0;
  while (at < text.size()) {
    const int length = static_cast<uint8_t>(text[at]) < 0x80 ? 1 : read_utf8(text.substr(at)).length;
    if (length > 0) {
      at += static_cast<size_t>(length);
      continue;
    }
    if (at > begin) encode_valid(text.substr(begin, at - begin), first && begin == 0, ids);
    if (const int32_t id = vocabulary.byte_token(static_cast<uint8_t>(text[at])); id >= 0) ids.push_back(id);
    begin = ++at;
  }
  if (at > begin) encode_valid(text.substr(begin), first && begin == 0, ids);
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, Specials specials) const {
  std::vector<int32_t> ids;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* match = nullptr;
    for (int i : impl_->added_by_first_byte[static_cast<uint8_t>(text[at])]) {
      const AddedToken& token = impl_->added[static_cast<size_t>(i)];
      if (token.control && specials == Specials::kAsText) continue;
      if (!text.substr(at).starts_with(impl_->vocabulary.text(token.id))) continue;
      match = &token;
      break;
    }
    if (match == nullptr) {
      ++at;
      continue;
    }
    size_t end = at;
    if (match->strip_left)
      while (end > begin && is_space(text[end - 1])) --end;
    if (end > begin) impl_->encode_text(text.substr(begin, end - begin), begin == 0, ids);
    ids.push_back(match->id);
    at += impl_->vocabulary.text(match->id).size();
    if (match->strip_right)
      while (at < text.size() && is_space(text[at])) ++at;
    begin = at;
  }
  if (begin < text.size()) impl_->encode_text(text.substr(begin), begin == 0, ids);
  return ids;
}

std::string_view Tokenizer::token_bytes(int32_t id, bool show_specials) const {
  if (id < 0 || id >= vocab_size()) return {};
  if (!show_specials && impl_->vocabulary.kind(id) == TokenKind::kControl) return {};
  return impl_->vocabulary.bytes(id);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool show_specials) const {
  std::string text;
  for (int32_t id : ids) text += token_bytes(id, show_specials);
  return text;
}

int32_t Tokenizer::vocab_size() const { return impl_->vocabulary.size(); }
std::string_view Tokenizer::token_text(int32_t id) const {
  return id < 0 || id >= vocab_size() ? std::string_view() : impl_->vocabulary.text(id);
}
bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->vocabulary.kind(id) == TokenKind::kControl;
}
std::optional<int32_t> Tokenizer::find(std::string_view text) const {
  const int32_t id = impl_->vocabulary.find(text);
  return id < 0 ? std::nullopt : std::optional(id);
}
std::optional<int32_t> Tokenizer::bos_id() const {
  return impl_->bos_id < 0 ? std::nullopt : std::optional(impl_->bos_id);
}
std::optional<int32_t> Tokenizer::eos_id() const {
  return impl_->eos_id < 0 ? std::nullopt : std::optional(impl_->eos_id);
}
bool Tokenizer::add_bos() const { return impl_->add_bos; }
const std::vector<int32_t>& Tokenizer::stop_ids() const { return impl_->stop_ids; }
const std::string& Tokenizer::chat_template() const { return impl_->chat_template; }
const std::string& Tokenizer::description() const { return impl_->pre_tokenizer_name; }
uint64_t Tokenizer::hash() const { return impl_->vocabulary.hash(); }

// The longest prefix of pending_ that is decided: whole characters, and U+FFFD for what can no longer
// become one.
std::string StreamDecoder::push(int32_t id) {
  pending_ += tokenizer_->token_bytes(id);
  std::string text;
  size_t at = 0;
  while (at < pending_.size()) {
    const std::string_view rest = std::string_view(pending_).substr(at);
    if (const Utf8Char c = read_utf8(rest); c.length > 0) {
      text += rest.substr(0, static_cast<size_t>(c.length));
      at += static_cast<size_t>(c.length);
      continue;
    }
    const auto first = static_cast<uint8_t>(rest[0]);
    const size_t wanted = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xc2 && first < 0xe0 ? 2 : 0;
    bool may_grow = rest.size() < wanted;
    if (may_grow && rest.size() > 1) {
      const auto second = static_cast<uint8_t>(rest[1]);
      const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
      const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
      may_grow = second >= low && second <= high;
      for (size_t i = 2; i < rest.size(); ++i) may_grow = may_grow && (static_cast<uint8_t>(rest[i]) & 0xc0) == 0x80;
    }
    if (may_grow) break;
    text += kReplacement;
    ++at;
  }
  pending_.erase(0, at);
  return text;
}

std::string StreamDecoder::flush() {
  std::string text;
  if (!pending_.empty()) text = kReplacement;
  pending_.clear();
  return text;
}

}  // namespace dspark::tokenizer

// From text to ids: added tokens, normalisation, pieces, merges.
#include <algorithm>

#include "tokenizer/bpe_impl.h"
#include "tokenizer/merge_symbols.h"
#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

// Calls on_text(segment) and on_token(id) for the parts of text, in order.
template <class OnText, class OnToken>
void for_each_segment(const AddedTokens& added, std::string_view text, bool with_control,
                      OnText on_text, OnToken on_token) {
  std::vector<AddedTokens::Match> matches;
  added.find(text, with_control, matches);
  size_t done = 0;
  for (const AddedTokens::Match& match : matches) {
    if (match.begin > done) on_text(text.substr(done, match.begin - done));
    on_token(match.id);
    done = match.end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

}  // namespace

std::vector<int32_t> Tokenizer::encode(std::string_view text, Specials specials) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  Impl::Scratch scratch{.with_control = specials == Specials::kParse};
  for_each_segment(
      impl_->added, text, scratch.with_control,
      [&](std::string_view segment) { impl_->encode_segment(segment, scratch, ids); },
      [&](int32_t id) { ids.push_back(id); });
  return ids;
}

// Bytes that are no UTF-8 become byte tokens; what lies between them is encoded on its own.
void Tokenizer::Impl::encode_segment(std::string_view text, Scratch& scratch,
                                     std::vector<int32_t>& ids) const {
  size_t begin = 0, at = 0;
  while (at < text.size()) {
    const int length =
        static_cast<uint8_t>(text[at]) < 0x80 ? 1 : read_utf8(text.substr(at)).length;
    if (length > 0) {
      at += static_cast<size_t>(length);
      continue;
    }
    if (at > begin) encode_valid(text.substr(begin, at - begin), begin == 0, scratch, ids);
    const int32_t id = vocabulary.byte_token(static_cast<uint8_t>(text[at]));
    if (id >= 0) ids.push_back(id);
    begin = ++at;
  }
  if (at > begin) encode_valid(text.substr(begin), begin == 0, scratch, ids);
}

void Tokenizer::Impl::encode_valid(std::string_view text, bool first, Scratch& scratch,
                                   std::vector<int32_t>& ids) const {
  std::string buffer;
  text = normaliser.apply(text, first, buffer);
  for_each_segment(
      added_normalised, text, scratch.with_control,
      [&](std::string_view segment) { encode_pieces(segment, first, scratch, ids); },
      [&](int32_t id) { ids.push_back(id); });
}

void Tokenizer::Impl::encode_pieces(std::string_view text, bool first, Scratch& scratch,
                                    std::vector<int32_t>& ids) const {
  std::string prefixed;
  if (add_prefix_space && first && !text.starts_with(' ')) {
    prefixed = " ";
    prefixed += text;
    text = prefixed;
  }
  pre_tokenizer.split(text, scratch.pieces);
  for (std::string_view piece : scratch.pieces) encode_piece(piece, scratch, ids);
}

void Tokenizer::Impl::encode_piece(std::string_view piece, Scratch& scratch,
                                   std::vector<int32_t>& ids) const {
  if (ignore_merges) {
    std::string_view spelled = piece;
    if (vocabulary.spelling() == Spelling::kByteLevel) {
      scratch.spelled.clear();
      for (char c : piece) scratch.spelled += byte_spelling(static_cast<uint8_t>(c));
      spelled = scratch.spelled;
    }
    if (const int32_t id = vocabulary.find(spelled); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  symbols_of(piece, scratch.symbols);
  merge_symbols(vocabulary, scratch.symbols);
  ids.insert(ids.end(), scratch.symbols.begin(), scratch.symbols.end());
}

// The piece as tokens of single characters or bytes, before any merge.
void Tokenizer::Impl::symbols_of(std::string_view piece, std::vector<int32_t>& symbols) const {
  symbols.clear();
  bool after_unknown = false;
  const auto unknown = [&] {
    if (unknown_id >= 0 && !(fuse_unknown && after_unknown)) symbols.push_back(unknown_id);
    after_unknown = true;
  };
  const auto known = [&](int32_t id) {
    symbols.push_back(id);
    after_unknown = false;
  };
  if (vocabulary.spelling() == Spelling::kByteLevel) {
    for (char c : piece) {
      const int32_t id = vocabulary.byte_token(static_cast<uint8_t>(c));
      if (id >= 0)
        known(id);
      else
        unknown();
    }
    return;
  }
  while (!piece.empty()) {
    const auto length = static_cast<size_t>(std::max(1, read_utf8(piece).length));
    const std::string_view character = piece.substr(0, length);
    piece.remove_prefix(length);
    const bool ascii = static_cast<uint8_t>(character[0]) < 0x80;
    const int32_t id = ascii ? vocabulary.find_ascii(character[0]) : vocabulary.find(character);
    if (id >= 0) {
      known(id);
      continue;
    }
    bool as_bytes = byte_fallback;
    for (char c : character)
      as_bytes = as_bytes && vocabulary.byte_token(static_cast<uint8_t>(c)) >= 0;
    if (!as_bytes)
      unknown();
    else
      for (char c : character) known(vocabulary.byte_token(static_cast<uint8_t>(c)));
  }
}

}  // namespace dspark::tokenizer

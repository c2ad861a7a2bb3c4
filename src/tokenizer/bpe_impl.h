// What a Tokenizer is made of; filled by the loaders (load_gguf.cc, load_json.cc).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace dspark::tokenizer {

// A token that is looked for in the text before anything else.
struct AddedToken {
  int32_t id;
  bool control;           // only when specials are parsed
  bool strip_left = false, strip_right = false;  // takes white space beside it along
};

struct Tokenizer::Impl {
  Vocabulary vocabulary;
  PreTokenizer pre_tokenizer;
  std::string pre_tokenizer_name;
  bool nfc = false;             // normalise text to NFC first (Qwen)
  std::vector<std::pair<std::string, std::string>> replacements;  // then these, in order (Gemma: " " -> U+2581)
  std::string prefix;           // put before a text's first piece ("prepend", add_prefix_space)
  bool byte_fallback = false;   // characters without a token become byte tokens (plain spelling)
  bool ignore_merges = false;   // a piece that is a token is that token (Llama 3)
  int32_t unknown_id = -1;      // for characters without a token or bytes; -1: dropped
  bool fuse_unknown = false;    // runs of unknown characters become one
  std::vector<AddedToken> added;
  std::array<std::vector<int>, 256> added_by_first_byte;  // indices, longest text first

  int32_t bos_id = -1, eos_id = -1;
  bool add_bos = false;
  std::vector<int32_t> stop_ids;
  std::string chat_template;

  // After loading: sorts and indexes, adds the usual end-of-turn tokens to the stops.
  void finish();

  void encode_text(std::string_view text, bool first, std::vector<int32_t>& ids) const;
  void encode_valid(std::string_view text, bool first, std::vector<int32_t>& ids) const;
  void encode_piece(std::string_view piece, std::vector<int32_t>& ids) const;
  void symbols_of(std::string_view piece, std::vector<int32_t>& symbols) const;
};

// Merges neighbouring symbols, lowest rank first, leftmost on ties, until no pair merges. O(n log n).
void merge_symbols(const Vocabulary& vocabulary, std::vector<int32_t>& symbols);

}  // namespace dspark::tokenizer

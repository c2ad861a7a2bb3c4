// What a Tokenizer is made of; filled by the loaders (load_gguf.cc, load_json.cc).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/normaliser.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace dspark::tokenizer {

struct Tokenizer::Impl {
  Vocabulary vocabulary;
  Normaliser normaliser;
  PreTokenizer pre_tokenizer;
  std::string pre_tokenizer_name;  // for the description
  std::string description;
  bool add_prefix_space = false;  // before a text between added tokens that has none
  bool byte_fallback = false;     // characters without a token become byte tokens (plain spelling)
  bool ignore_merges = false;     // a piece that is a token is that token (Llama 3)
  int32_t unknown_id = -1;        // for characters without a token or bytes; -1: dropped
  bool fuse_unknown = false;      // runs of unknown characters become one
  AddedTokens added;              // found in the text as it is
  AddedTokens added_normalised;   // found in the normalised text

  int32_t bos_id = -1, eos_id = -1;
  bool add_bos = false;
  std::vector<int32_t> stop_ids;
  std::string chat_template;

  // After loading: indexes the added tokens, completes and sorts stop_ids, writes the description.
  // May be called again after changes.
  void finish();

  // encode.cc. Buffers that pieces share.
  struct Scratch {
    bool with_control = false;
    std::vector<std::string_view> pieces = {};
    std::vector<int32_t> symbols = {};
    std::string spelled = {};
  };
  void encode_segment(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;
  void encode_valid(std::string_view text, bool first, Scratch& scratch,
                    std::vector<int32_t>& ids) const;
  void encode_pieces(std::string_view text, bool first, Scratch& scratch,
                     std::vector<int32_t>& ids) const;
  void encode_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  void symbols_of(std::string_view piece, std::vector<int32_t>& symbols) const;
};

}  // namespace dspark::tokenizer

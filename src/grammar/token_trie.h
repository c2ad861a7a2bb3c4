// Private to the room grammar: the tokens of a vocabulary as a trie of their bytes, laid out in the
// order in which it is walked.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace dspark::grammar {

class TokenTrie {
 public:
  struct Node {
    int32_t token;  // whose bytes end here; -1: none
    int32_t depth;  // bytes up to here, this one included
    int32_t skip;   // the next node that is not below this one
    uint8_t byte;
  };
  TokenTrie(const tokenizer::Tokenizer& tokenizer, int32_t vocab_size);

  // Depth first. Control tokens and those that end an answer are not among them. Tokens of the same
  // bytes have a node each.
  const std::vector<Node>& nodes() const { return nodes_; }
  int32_t deepest() const { return deepest_; }
  const tokenizer::Tokenizer& tokenizer() const { return tokenizer_; }
  int32_t vocab_size() const { return vocab_size_; }  // the model's

 private:
  const tokenizer::Tokenizer& tokenizer_;
  int32_t vocab_size_;
  std::vector<Node> nodes_;
  int32_t deepest_ = 0;
};

}  // namespace dspark::grammar

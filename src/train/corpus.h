// The conversations of a run: read, split into those trained on and those held back, put in order.
#pragma once

#include <string>
#include <vector>

#include "learn/learn.h"
#include "train/recipe.h"

namespace dspark::train {

struct Corpus {
  std::vector<learn::Example> examples;     // of all files, in order
  std::vector<int64_t> trained, held_back;  // places in examples
  learn::ReadCounts counts;
  std::string digest;  // of tokens and masks
};

// Whether a conversation is held back is a function of its id.
Result<Corpus> read_corpus(const Recipe& recipe, const tokenizer::Tokenizer& tokenizer,
                           int32_t vocab);

}  // namespace dspark::train

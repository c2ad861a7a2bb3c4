// A Markov head that starts as the corpus's bigrams. From tables near zero it would learn them very
// slowly: the gradient of each table is small while the other is, and rare tokens seldom come.
#pragma once

#include <span>

#include "train/corpus.h"
#include "train/parameters.h"

namespace dspark::train {

struct BigramFit {
  double pairs = 0;                      // counted
  double unigram_ce = 0, bigram_ce = 0;  // nats a pair, over the draft vocabulary
};

// Sets markov_w1 and markov_w2 so that softmax(b + w1[token] w2) is close to what follows the token
// in trained answers, b being one bias for all tokens, which the draft layers are to learn. Tokens
// that come less than four times start without a bias.
BigramFit start_markov_head(const Corpus& corpus, const draft::DrafterConfig& config, uint64_t seed,
                            Parameters& parameters);

}  // namespace dspark::train

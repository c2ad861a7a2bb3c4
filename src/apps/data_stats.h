// What data stats finds in a corpus, and how it says it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/json_lines.h"
#include "learn/learn.h"

namespace dspark::apps {

struct CorpusStats {
  explicit CorpusStats(int32_t vocab) : counts(vocab) {}

  learn::ReadCounts read;
  int64_t tokens = 0;
  std::vector<int64_t> lengths, loss_lengths;  // by row
  std::map<std::string, int64_t> finishes, temperatures;
  learn::TokenCounts counts;  // of loss tokens
  int hidden = 0;             // of the target
};

// Draft vocabularies whose coverage is shown, as far as the target's is larger; `wanted` among
// them.
std::vector<int32_t> shown_vocabularies(int32_t vocab, int32_t wanted);

std::string stats_table(const CorpusStats& stats, int32_t wanted_vocab, int taps);
Json stats_json(const CorpusStats& stats, int32_t wanted_vocab, int taps);

}  // namespace dspark::apps

// How often tokens are trained on, and the draft vocabulary: the most frequent of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/base.h"

namespace dspark::learn {

class TokenCounts {
 public:
  explicit TokenCounts(int32_t vocab) : counts_(static_cast<size_t>(vocab)) {}

  // An error when an id is outside the vocabulary; nothing is then counted. loss_mask: [ids]
  Status add(std::span<const int32_t> ids, std::span<const uint8_t> loss_mask);

  int32_t vocab() const { return static_cast<int32_t>(counts_.size()); }
  const std::vector<int64_t>& counts() const { return counts_; }
  int64_t total() const { return total_; }
  int64_t distinct() const;  // tokens that came at least once

 private:
  std::vector<int64_t> counts_;
  int64_t total_ = 0;
};

// The n most frequent tokens, ids ascending; of equally frequent ones the smaller ids. n is at most
// the vocabulary: a larger one is that.
std::vector<int32_t> draft_vocabulary(const TokenCounts& counts, int32_t n);

// The share of all counted tokens that are among `ids`; 0 when none was counted.
double coverage(const TokenCounts& counts, std::span<const int32_t> ids);

}  // namespace dspark::learn

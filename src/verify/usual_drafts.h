// What a computed block of drafts is usually worth, whatever the load it was drafted under: how the
// survival of its slots is spread. What it would gain under the present load follows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "verify/pace.h"

namespace dspark::verify {

class UsualDrafts {
 public:
  // A block's calibrated survival by slot, in [0, 1]; counts among about the last 100.
  void take_in(std::span<const double> survival);

  // What a request's cycle would gain where `requests` (>= 1) alike draft and verify the slots that
  // pay for their rows; zeros while nothing is known. target_ms(rows): of the target's step.
  // prompt_rows: how many with logits take as long. draft_ms: of a request's drafts.
  template <class TargetMs>
  DraftGain gain(const TargetMs& target_ms, int requests, int prompt_rows, double draft_ms) const {
    if (blocks_ == 0) return {};
    const double token_ms = target_ms(requests) / requests;
    const int others = requests + prompt_rows;
    const double others_ms = target_ms(others);
    DraftGain best{0, draft_ms}, all{0, draft_ms};
    double slots = 0;
    for (size_t bin = kBins; bin-- > 0;) {
      if (spread_[bin].slots == 0) continue;
      slots += spread_[bin].slots / blocks_;
      all.saved_ms += spread_[bin].survival / blocks_ * token_ms;
      const double rows = slots * requests;
      const int whole = static_cast<int>(rows);
      const double low = target_ms(others + whole), high = target_ms(others + whole + 1);
      all.spent_ms = draft_ms + (low + (high - low) * (rows - whole) - others_ms) / requests;
      if (all.saved_ms - all.spent_ms > best.saved_ms - best.spent_ms) best = all;
    }
    return best;
  }

 private:
  static constexpr size_t kBins = 16;
  struct Share {
    double slots = 0, survival = 0;  // sums, fading
  };
  std::array<Share, kBins> spread_ = {};  // by survival
  double blocks_ = 0;                     // fading
};

}  // namespace dspark::verify

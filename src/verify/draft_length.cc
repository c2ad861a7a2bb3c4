#include "verify/draft_length.h"

namespace dspark::verify {
namespace {

// Cycles that did without the last slots before one is given up.
constexpr int kPatience = 4;

}  // namespace

void DraftLength::observe(int drafted, int verified) {
  if (drafted == 0) return;
  wanted_ = std::min(wanted_, drafted);
  if (verified >= wanted_) {
    // Doubled: what was likely to be accepted so far mostly is likely to go on.
    wanted_ = 2 * verified;
    unused_ = 0;
  } else if (verified == wanted_ - 1) {
    unused_ = 0;
  } else if (++unused_ >= kPatience) {
    wanted_ = std::max(wanted_ - 1, 1);
    unused_ = 0;
  }
}

}  // namespace dspark::verify

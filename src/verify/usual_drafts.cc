#include "verify/usual_drafts.h"

namespace dspark::verify {
namespace {

constexpr double kFading = 0.99;  // with each block
// So much above what it takes, before drafting that did not pay counts as paying: not to go to and
// fro.
constexpr double kClearly = 1.1;

}  // namespace

void UsualDrafts::take_in(std::span<const double> survival) {
  for (Share& share : spread_) share.slots *= kFading, share.survival *= kFading;
  blocks_ = blocks_ * kFading + 1;
  for (const double chance : survival) {
    Share& share = spread_[std::min(static_cast<size_t>(chance * kBins), kBins - 1)];
    share.slots += 1, share.survival += chance;
  }
}

void Prospect::see(const DraftGain& gain) {
  gain_ = gain;
  const bool pays = gain.saved_ms >= gain.spent_ms * (pays_ ? 1 : kClearly);
  if (pays && !pays_) ++turns_;
  pays_ = pays;
}

}  // namespace dspark::verify

#include "verify/usual_drafts.h"

namespace dspark::verify {
namespace {

constexpr double kFading = 0.99;  // with each block

}  // namespace

void UsualDrafts::take_in(std::span<const double> survival) {
  for (Share& share : spread_) share.slots *= kFading, share.survival *= kFading;
  blocks_ = blocks_ * kFading + 1;
  for (const double chance : survival) {
    Share& share = spread_[std::min(static_cast<size_t>(chance * kBins), kBins - 1)];
    share.slots += 1, share.survival += chance;
  }
}

}  // namespace dspark::verify

#include "verify/online_confidence.h"

#include <algorithm>
#include <cmath>

#include "verify/sigmoid.h"

namespace dspark::verify {
namespace {

constexpr double kEceFading = 0.9999;
// Weights start as if so much had been seen of them; what was seen fades to at most so much.
constexpr double kPriorInformation = 2, kMostInformation = 200;
constexpr double kBiasPrior = 4, kBiasFading = 0.97;
// A certainty's worth before anything was seen.
constexpr double kCertaintyOffset = -0.5, kCertaintyScale = 0.6;
// A drift: outcomes of the last 500 slots or so, and not of fewer than these, are off by this many
// standard deviations, and by this much a slot: what is smaller costs no planner anything.
constexpr double kDriftFading = 0.998, kDriftDeviations = 5, kDriftSize = 0.04, kDriftLeast = 50;
constexpr int kPassedMost = 64;  // blocks that a slot may go without being looked at
constexpr double kFairChance = 0.6;

void step(double& weight, double& information, double gradient, double curvature) {
  information = std::min(information + curvature, kMostInformation);
  weight += gradient / information;
}

}  // namespace

void RunningEce::add(double confidence, bool accepted) {
  for (Bin& bin : bins_)
    bin.count *= kEceFading, bin.confidence *= kEceFading, bin.accepted *= kEceFading;
  Bin& bin = bins_[bin_of(confidence, kBins)];
  bin.count += 1;
  bin.confidence += confidence;
  bin.accepted += accepted ? 1 : 0;
}

double RunningEce::ece() const {
  double off = 0, count = 0;
  for (const Bin& bin : bins_) {
    off += std::fabs(bin.confidence - bin.accepted);
    count += bin.count;
  }
  return count > 0 ? off / count : 0;
}

OnlineConfidence::OnlineConfidence(int slots, Signal signal)
    : learns_(signal != Signal::kCalibrated && signal != Signal::kPersonal),
      personal_(signal == Signal::kPersonal) {
  const bool certainty = signal == Signal::kCertainty;
  slots_.assign(static_cast<size_t>(slots),
                Slot{certainty ? kCertaintyOffset : 0.0, certainty ? kCertaintyScale : 1.0,
                     kPriorInformation, kPriorInformation});
}

double OnlineConfidence::chance(const Slot& slot, double signal, const RequestBias& bias) const {
  const double own = personal_ || learns_ ? bias.log_odds : 0;
  return sigmoid((learns_ ? slot.offset + slot.scale * signal : signal) + own);
}

double OnlineConfidence::confidence(int slot, double signal, const RequestBias& bias) {
  if (!std::isfinite(signal)) return 0;
  Slot& at = slots_[static_cast<size_t>(slot)];
  const double p = chance(at, signal, bias);
  if (!learns_ || ++at.passed <= kPassedMost) return p;
  at.passed = 0;
  return std::max(p, kFairChance);
}

void OnlineConfidence::observe(int slot, double signal, RequestBias& bias, bool accepted) {
  if (!std::isfinite(signal)) return;
  Slot& at = slots_[static_cast<size_t>(slot)];
  at.passed = 0;
  const double p = chance(at, signal, bias);
  ++observations_;
  quality_.add(p, accepted);
  const double gradient = (accepted ? 1 : 0) - p, curvature = p * (1 - p);
  if (learns_) {
    step(at.offset, at.offset_information, gradient, curvature);
    step(at.scale, at.scale_information, gradient * signal, curvature * signal * signal);
  } else {
    watch(p, accepted);
  }
  bias.information = bias.information * kBiasFading + curvature;
  bias.log_odds += gradient / (kBiasPrior + bias.information);
}

void OnlineConfidence::watch(double p, bool accepted) {
  surprise_ = surprise_ * kDriftFading + (accepted ? 1 : 0) - p;
  variance_ = variance_ * kDriftFading * kDriftFading + p * (1 - p);
  weight_ = weight_ * kDriftFading + 1;
  const double off = std::fabs(surprise_);
  learns_ = weight_ > kDriftLeast && off > kDriftDeviations * std::sqrt(variance_) &&
            off > kDriftSize * weight_;
}

}  // namespace dspark::verify

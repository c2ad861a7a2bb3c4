// From a drafter's confidence logits to survival: how likely the target gets as far as a slot.
#pragma once

#include <span>
#include <vector>

#include "base/base.h"

namespace dspark::verify {

// STS temperatures T_k, one a slot (spec E.3).
struct Calibration {
  std::vector<double> temperatures;  // finite, > 0; slots beyond them have 1
};
Status validate(const Calibration& calibration);

// confidence[k] = sigmoid(logits[k] / T_k), the chance that slot k is accepted if those before it
// are; survival[k] = the product of confidences up to k. A logit that is NaN ends the survival: 0.
// logits, confidence, survival: [slots]
void survival(std::span<const float> logits, const Calibration& calibration,
              std::span<double> confidence, std::span<double> survival);

// A cycle as it went: raw confidence logits, [slots], and of its first `considered` slots (all
// those verified; up to the stop token where one was accepted) the first `accepted` stood.
struct ObservedCycle {
  std::span<const float> logits;
  int considered;
  int accepted;
};

struct CalibrationFit {
  Calibration calibration;
  std::vector<double> ece_before, ece_after;  // [slots], every temperature 1; those fitted
};

// Fits temperatures slot by slot (spec E.3): each the one of 0.05, 0.06, .. 5.00, smaller on ties,
// with the least ECE of survival given the temperatures before it (20 bins, survival clamped to
// [1e-8, 1 - 1e-8]). The cycles must have been verified at full length: a planner's choice of
// length would leave only the cycles it trusted. An error when a slot was never considered, or when
// a cycle has other slots or impossible counts. Takes about 10 us a slot and cycle.
Result<CalibrationFit> fit_calibration(std::span<const ObservedCycle> cycles, int slots);

}  // namespace dspark::verify

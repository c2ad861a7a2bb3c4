// Which form of calibration recorded cycles call for, and how good it is on cycles that it was not
// fitted to.
#pragma once

#include <span>
#include <vector>

#include "verify/calibration.h"
#include "verify/confidence_sample.h"

namespace dspark::verify {

// All cycles of a prompt, in order.
using PromptCycles = std::vector<ObservedCycle>;

// A calibration fitted to one half of the prompts, and its figures on the other.
struct HeldOut {
  explicit HeldOut(int slots) : sample(slots) {}
  Calibration calibration;
  ConfidenceSample sample;
  QualityIntervals intervals;
};

struct CalibrationChoice {
  explicit CalibrationChoice(int slots) : raw(slots), sts(slots), scale_offset(slots) {}
  Calibration calibration;  // of the chosen form, fitted to all cycles, as_stored()
  HeldOut raw, sts, scale_offset;
  QualityIntervals gain;  // held-out figures of STS less those of scale and offset
  const HeldOut& chosen() const {
    return form_of(calibration) == CalibrationForm::kSts ? sts : scale_offset;
  }
};

// Prompts 0, 2, 4 .. are fitted to, 1, 3, 5 .. held out. Scale and offset are chosen where they are
// better beyond noise, in ECE (truer) or by 0.002 in Brier score (telling drafts apart better),
// else STS. An error where one of the fits gives one, or nothing is held out.
Result<CalibrationChoice> choose_calibration(std::span<const PromptCycles> prompts, int slots);

}  // namespace dspark::verify

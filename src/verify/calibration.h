// Calibration: from raw confidence logits to true frequencies, one form of it a mode of
// verification and temperature; how it is fitted.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "verify/mode.h"

namespace dspark::verify {

// The confidence of slot k is sigmoid(z_k / T_k + w_k u_k + b_k) of its logit z_k and its certainty
// u_k, the log-odds of its most likely candidate. Temperatures alone are STS (spec E.3), with the
// rest it is the scale-and-offset form (scale 1 / T_k).
struct Calibration {
  std::vector<double> temperatures = {};  // T: finite, > 0; slots beyond them have 1
  std::vector<double> offsets = {};       // b: finite; slots beyond them have 0
  std::vector<double> weights = {};  // w: finite; slots beyond them have 0; not without offsets
};
Status validate(const Calibration& calibration);

enum class CalibrationForm { kSts, kScaleOffset };
inline CalibrationForm form_of(const Calibration& calibration) {
  return calibration.offsets.empty() ? CalibrationForm::kSts : CalibrationForm::kScaleOffset;
}
const char* form_name(CalibrationForm form);  // "sts", "scale_offset"

// With parameters of single precision, as files hold them.
Calibration as_stored(const Calibration& calibration);

// What was fitted to one way of drawing.
struct ModeCalibration {
  Mode mode = Mode::kGreedy;  // greedy, coupled or rejection
  double temperature = 0;     // 0 with greedy and with it alone
  Calibration calibration;
};
// The index of the one that a request should use, or -1. At temperature 0 that is greedy's in every
// mode; else the one of its mode whose temperature is nearest, the lower on ties. Block
// verification uses rejection's.
int matching_calibration(std::span<const ModeCalibration> all, Mode mode, double temperature);

// A cycle as it went: raw confidence logits, [slots], and of its first `considered` slots (all
// those verified; up to the stop token where one was accepted) the first `accepted` stood.
struct ObservedCycle {
  std::span<const float> logits;
  int considered;
  int accepted;
  std::span<const float> certainty = {};  // [slots], or empty: not known
};

struct CalibrationFit {
  Calibration calibration;
  std::vector<double> ece_before, ece_after;  // [slots], raw; fitted
};

// Both fit slot by slot, given the slots before it. The cycles must have been verified at full
// length: a planner's choice of length would leave only the cycles it trusted. An error when a slot
// was never considered, or when a cycle has other slots or impossible counts.
//
// STS (spec E.3): T_k is the one of 0.05, 0.06, .. 5.00, smaller on ties, with the least ECE of
// survival (20 bins, survival clamped to [1e-8, 1 - 1e-8]). About 10 us a slot and cycle.
Result<CalibrationFit> fit_calibration(std::span<const ObservedCycle> cycles, int slots);
// Scale and offset, and the certainty's weight where all cycles have certainties: those with the
// least cross-entropy of survival, 1/T_k in [0.02, 20], w_k and b_k in [-30, 30], of single
// precision. About 1 us a slot and cycle.
Result<CalibrationFit> fit_scale_offset(std::span<const ObservedCycle> cycles, int slots);

}  // namespace dspark::verify

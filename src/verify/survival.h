// From a drafter's confidence logits to survival: how likely the target gets as far as a slot.
#pragma once

#include <span>

#include "verify/calibration.h"

namespace dspark::verify {

// The log-odds of the calibrated chance that the slot is accepted if those before it are; NaN for
// NaN.
double calibrated_log_odds(float logit, float certainty, const Calibration& calibration,
                           size_t slot);

// confidence[k] = the calibrated chance that slot k is accepted if those before it are;
// survival[k] = the product of confidences up to k. A logit that is NaN ends the survival: 0.
// logits, confidence, survival: [slots]; certainty: [slots], or empty: 0
void survival(std::span<const float> logits, std::span<const float> certainty,
              const Calibration& calibration, std::span<double> confidence,
              std::span<double> survival);

}  // namespace dspark::verify

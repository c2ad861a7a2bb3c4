// Private to the room verify: the logistic function, without overflow and with the same bits
// everywhere.
#pragma once

#include <cmath>

#include "base/base.h"
#include "verify/survival.h"

namespace dspark::verify {

inline double sigmoid(double x) { return 1 / (1 + real_exp(-x)); }  // 0 below -709

// The confidence of a slot with this logit and certainty; 0 where one is NaN.
inline double calibrated(float logit, float certainty, const Calibration& calibration,
                         size_t slot) {
  if (std::isnan(logit) || std::isnan(certainty)) return 0;
  return sigmoid(calibrated_log_odds(logit, certainty, calibration, slot));
}

}  // namespace dspark::verify

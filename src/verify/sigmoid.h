// Private to the room verify: the logistic function, without overflow and with the same bits
// everywhere.
#pragma once

#include <cmath>

#include "base/base.h"
#include "verify/survival.h"

namespace dspark::verify {

inline double sigmoid(double x) { return 1 / (1 + real_exp(-x)); }  // 0 below -709

// The confidence of a slot with this logit; 0 where it is NaN.
inline double calibrated(float logit, const Calibration& calibration, size_t slot) {
  if (std::isnan(logit)) return 0;
  return sigmoid(calibrated_log_odds(logit, calibration, slot));
}

}  // namespace dspark::verify

#include "verify/survival.h"

#include <cmath>

#include "verify/sigmoid.h"

namespace dspark::verify {

Status validate(const Calibration& calibration) {
  for (size_t k = 0; k < calibration.temperatures.size(); ++k) {
    const double t = calibration.temperatures[k];
    if (!(t > 0 && std::isfinite(t)))
      return fail("calibration: temperature {} of slot {}, expected a number above 0", t, k);
  }
  return {};
}

void survival(std::span<const float> logits, const Calibration& calibration,
              std::span<double> confidence, std::span<double> survival) {
  CHECK(confidence.size() == logits.size() && survival.size() == logits.size(),
        "{} logits, {} confidences, {} survivals", logits.size(), confidence.size(),
        survival.size());
  double product = 1;
  for (size_t k = 0; k < logits.size(); ++k) {
    const double t = k < calibration.temperatures.size() ? calibration.temperatures[k] : 1;
    confidence[k] = std::isnan(logits[k]) ? 0 : sigmoid(static_cast<double>(logits[k]) / t);
    survival[k] = product *= confidence[k];
  }
}

}  // namespace dspark::verify

#include "verify/survival.h"

#include <cmath>

#include "verify/sigmoid.h"

namespace dspark::verify {

double calibrated_log_odds(float logit, float certainty, const Calibration& calibration,
                           size_t slot) {
  const double t = slot < calibration.temperatures.size() ? calibration.temperatures[slot] : 1;
  const double b = slot < calibration.offsets.size() ? calibration.offsets[slot] : 0;
  const double line = static_cast<double>(logit) / t + b;
  if (slot >= calibration.weights.size()) return line;
  return line + calibration.weights[slot] * static_cast<double>(certainty);
}

void survival(std::span<const float> logits, std::span<const float> certainty,
              const Calibration& calibration, std::span<double> confidence,
              std::span<double> survival) {
  CHECK(confidence.size() == logits.size() && survival.size() == logits.size() &&
            (certainty.empty() || certainty.size() == logits.size()),
        "{} logits, {} certainties, {} confidences, {} survivals", logits.size(), certainty.size(),
        confidence.size(), survival.size());
  double product = 1;
  for (size_t k = 0; k < logits.size(); ++k) {
    confidence[k] = calibrated(logits[k], certainty.empty() ? 0 : certainty[k], calibration, k);
    survival[k] = product *= confidence[k];
  }
}

}  // namespace dspark::verify

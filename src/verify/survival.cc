#include "verify/survival.h"

#include <cmath>

#include "verify/sigmoid.h"

namespace dspark::verify {

void survival(std::span<const float> logits, const Calibration& calibration,
              std::span<double> confidence, std::span<double> survival) {
  CHECK(confidence.size() == logits.size() && survival.size() == logits.size(),
        "{} logits, {} confidences, {} survivals", logits.size(), confidence.size(),
        survival.size());
  double product = 1;
  for (size_t k = 0; k < logits.size(); ++k) {
    confidence[k] = calibrated(logits[k], calibration, k);
    survival[k] = product *= confidence[k];
  }
}

}  // namespace dspark::verify

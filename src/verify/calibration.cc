#include "verify/calibration.h"

#include <cmath>

namespace dspark::verify {

Status validate(const Calibration& calibration) {
  for (size_t k = 0; k < calibration.temperatures.size(); ++k) {
    const double t = calibration.temperatures[k];
    if (!(t > 0 && std::isfinite(t)))
      return fail("calibration: temperature {} of slot {}, expected a number above 0", t, k);
  }
  for (size_t k = 0; k < calibration.offsets.size(); ++k)
    if (!std::isfinite(calibration.offsets[k]))
      return fail("calibration: offset {} of slot {}, expected a finite number",
                  calibration.offsets[k], k);
  for (size_t k = 0; k < calibration.weights.size(); ++k)
    if (!std::isfinite(calibration.weights[k]))
      return fail("calibration: weight {} of slot {}, expected a finite number",
                  calibration.weights[k], k);
  if (!calibration.weights.empty() && calibration.offsets.empty())
    return fail("calibration: weights without offsets");
  return {};
}

const char* form_name(CalibrationForm form) {
  return form == CalibrationForm::kSts ? "sts" : "scale_offset";
}

Calibration as_stored(const Calibration& calibration) {
  Calibration stored = calibration;
  for (auto* values : {&stored.temperatures, &stored.offsets, &stored.weights})
    for (double& value : *values) value = static_cast<double>(static_cast<float>(value));
  return stored;
}

int matching_calibration(std::span<const ModeCalibration> all, Mode mode, double temperature) {
  if (temperature == 0) mode = Mode::kGreedy;
  if (mode == Mode::kBlock) mode = Mode::kRejection;
  int best = -1;
  double least = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].mode != mode) continue;
    const double distance = std::fabs(all[i].temperature - temperature);
    const bool lower = best >= 0 && all[i].temperature < all[static_cast<size_t>(best)].temperature;
    if (best >= 0 && !(distance < least || (distance == least && lower))) continue;
    best = static_cast<int>(i);
    least = distance;
  }
  return best;
}

}  // namespace dspark::verify

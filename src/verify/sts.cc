// Sequential temperature scaling.
#include "verify/calibration_samples.h"

namespace dspark::verify {
namespace {

constexpr int kGrid = 496;
double grid_temperature(int i) { return static_cast<double>(5 + i) / 100; }

}  // namespace

Result<CalibrationFit> fit_calibration(std::span<const ObservedCycle> cycles, int slots) {
  return fit_slots(cycles, slots, false, [](const SlotSamples& samples) {
    double best = grid_temperature(0), least = samples.ece({best});
    for (int i = 1; i < kGrid; ++i) {
      const double ece = samples.ece({grid_temperature(i)});
      if (ece < least) least = ece, best = grid_temperature(i);
    }
    return SlotFit{best};
  });
}

}  // namespace dspark::verify

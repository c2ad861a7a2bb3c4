// Sequential temperature scaling.
#include "verify/calibration_samples.h"

namespace dspark::verify {
namespace {

constexpr int kGrid = 496;
double grid_temperature(int i) { return static_cast<double>(5 + i) / 100; }

}  // namespace

Result<CalibrationFit> fit_calibration(std::span<const ObservedCycle> cycles, int slots) {
  DSPARK_RETURN_IF_ERROR(check_cycles(cycles, slots));
  CalibrationFit fit;
  SurvivalSoFar raw(cycles), fitted(cycles);
  for (int slot = 0; slot < slots; ++slot) {
    DSPARK_TRY(const SlotSamples unscaled, raw.samples_of(slot));
    fit.ece_before.push_back(unscaled.ece(1, 0));

    DSPARK_TRY(const SlotSamples samples, fitted.samples_of(slot));
    double best = grid_temperature(0), least = samples.ece(best, 0);
    for (int i = 1; i < kGrid; ++i) {
      const double ece = samples.ece(grid_temperature(i), 0);
      if (ece < least) least = ece, best = grid_temperature(i);
    }
    fit.calibration.temperatures.push_back(best);
    fit.ece_after.push_back(least);
    raw.multiply(slot, 1, 0);
    fitted.multiply(slot, best, 0);
  }
  return fit;
}

}  // namespace dspark::verify

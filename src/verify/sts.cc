// Sequential temperature scaling.
#include "verify/bins.h"
#include "verify/sigmoid.h"
#include "verify/survival.h"

namespace dspark::verify {
namespace {

constexpr int kGrid = 496;
double grid_temperature(int i) { return static_cast<double>(5 + i) / 100; }

// What one slot's fit looks at: the cycles that considered it.
struct Samples {
  std::vector<double> logit, before;  // before: survival of the slots before it
  std::vector<bool> stood;
};

double ece_of(const Samples& samples, double temperature) {
  Bins bins;
  for (size_t i = 0; i < samples.logit.size(); ++i)
    bins.add(clamp_prediction(samples.before[i] * sigmoid(samples.logit[i] / temperature)),
             samples.stood[i]);
  return bins.ece();
}

// survival_before: [cycles]
Samples samples_of(std::span<const ObservedCycle> cycles, int slot,
                   const std::vector<double>& survival_before) {
  Samples samples;
  for (size_t i = 0; i < cycles.size(); ++i) {
    if (cycles[i].considered <= slot) continue;
    samples.logit.push_back(static_cast<double>(cycles[i].logits[static_cast<size_t>(slot)]));
    samples.before.push_back(survival_before[i]);
    samples.stood.push_back(cycles[i].accepted > slot);
  }
  return samples;
}

void multiply(std::span<const ObservedCycle> cycles, int slot, double temperature,
              std::vector<double>& survival) {
  for (size_t i = 0; i < cycles.size(); ++i)
    survival[i] *=
        sigmoid(static_cast<double>(cycles[i].logits[static_cast<size_t>(slot)]) / temperature);
}

Status check_cycles(std::span<const ObservedCycle> cycles, int slots) {
  for (size_t i = 0; i < cycles.size(); ++i) {
    const ObservedCycle& c = cycles[i];
    if (c.logits.size() != static_cast<size_t>(slots))
      return fail("calibration: cycle {} has {} confidences, expected {}", i, c.logits.size(),
                  slots);
    if (c.accepted < 0 || c.accepted > c.considered || c.considered > slots)
      return fail("calibration: cycle {}: {} accepted of {} considered of {} slots", i, c.accepted,
                  c.considered, slots);
    for (const float logit : c.logits)
      if (!std::isfinite(logit))
        return fail("calibration: cycle {} has a confidence logit of {}", i, logit);
  }
  return {};
}

}  // namespace

Result<CalibrationFit> fit_calibration(std::span<const ObservedCycle> cycles, int slots) {
  DSPARK_RETURN_IF_ERROR(check_cycles(cycles, slots));
  CalibrationFit fit;
  std::vector<double> plain(cycles.size(), 1), fitted(cycles.size(), 1);
  for (int slot = 0; slot < slots; ++slot) {
    fit.ece_before.push_back(0);
    const Samples unscaled = samples_of(cycles, slot, plain);
    if (unscaled.logit.empty())
      return fail("calibration: no cycle came to slot {}: verify more of them at full length",
                  slot);
    fit.ece_before.back() = ece_of(unscaled, 1);

    const Samples samples = samples_of(cycles, slot, fitted);
    double best = grid_temperature(0), least = ece_of(samples, best);
    for (int i = 1; i < kGrid; ++i) {
      const double ece = ece_of(samples, grid_temperature(i));
      if (ece < least) least = ece, best = grid_temperature(i);
    }
    fit.calibration.temperatures.push_back(best);
    fit.ece_after.push_back(least);
    multiply(cycles, slot, 1, plain);
    multiply(cycles, slot, best, fitted);
  }
  return fit;
}

}  // namespace dspark::verify

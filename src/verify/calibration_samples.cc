#include "verify/calibration_samples.h"

namespace dspark::verify {

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

double SlotSamples::ece(double temperature, double offset) const {
  Bins bins;
  for (size_t i = 0; i < logit.size(); ++i)
    bins.add(clamp_prediction(before[i] * sigmoid(logit[i] / temperature + offset)), stood[i]);
  return bins.ece();
}

Result<SlotSamples> SurvivalSoFar::samples_of(int slot) const {
  SlotSamples samples;
  for (size_t i = 0; i < cycles_.size(); ++i) {
    if (cycles_[i].considered <= slot) continue;
    samples.logit.push_back(static_cast<double>(cycles_[i].logits[static_cast<size_t>(slot)]));
    samples.before.push_back(survival_[i]);
    samples.stood.push_back(cycles_[i].accepted > slot);
  }
  if (samples.logit.empty())
    return fail("calibration: no cycle came to slot {}: verify more of them at full length", slot);
  return samples;
}

void SurvivalSoFar::multiply(int slot, double temperature, double offset) {
  for (size_t i = 0; i < cycles_.size(); ++i)
    survival_[i] *= sigmoid(
        static_cast<double>(cycles_[i].logits[static_cast<size_t>(slot)]) / temperature + offset);
}

Result<CalibrationFit> fit_slots(std::span<const ObservedCycle> cycles, int slots,
                                 bool with_offsets,
                                 const std::function<SlotFit(const SlotSamples&)>& fit_slot) {
  DSPARK_RETURN_IF_ERROR(check_cycles(cycles, slots));
  CalibrationFit fit;
  SurvivalSoFar raw(cycles), fitted(cycles);
  for (int slot = 0; slot < slots; ++slot) {
    DSPARK_TRY(const SlotSamples unscaled, raw.samples_of(slot));
    DSPARK_TRY(const SlotSamples samples, fitted.samples_of(slot));
    const SlotFit found = fit_slot(samples);
    fit.calibration.temperatures.push_back(found.temperature);
    if (with_offsets) fit.calibration.offsets.push_back(found.offset);
    fit.ece_before.push_back(unscaled.ece(1, 0));
    fit.ece_after.push_back(samples.ece(found.temperature, found.offset));
    raw.multiply(slot, 1, 0);
    fitted.multiply(slot, found.temperature, found.offset);
  }
  return fit;
}

}  // namespace dspark::verify

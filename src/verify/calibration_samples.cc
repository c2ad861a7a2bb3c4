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
    if (!c.certainty.empty() && c.certainty.size() != c.logits.size())
      return fail("calibration: cycle {} has {} certainties, expected {}", i, c.certainty.size(),
                  slots);
    for (const float certainty : c.certainty)
      if (!std::isfinite(certainty))
        return fail("calibration: cycle {} has a certainty of {}", i, certainty);
  }
  return {};
}

double SlotSamples::ece(const SlotFit& fit) const {
  Bins bins;
  for (size_t i = 0; i < logit.size(); ++i)
    bins.add(clamp_prediction(before[i] *
                              fit.confidence(logit[i], certainty.empty() ? 0 : certainty[i])),
             stood[i]);
  return bins.ece();
}

Result<SlotSamples> SurvivalSoFar::samples_of(int slot) const {
  SlotSamples samples;
  for (size_t i = 0; i < cycles_.size(); ++i) {
    if (cycles_[i].considered <= slot) continue;
    samples.logit.push_back(static_cast<double>(cycles_[i].logits[static_cast<size_t>(slot)]));
    if (has_certainty_)
      samples.certainty.push_back(
          static_cast<double>(cycles_[i].certainty[static_cast<size_t>(slot)]));
    samples.before.push_back(survival_[i]);
    samples.stood.push_back(cycles_[i].accepted > slot);
  }
  if (samples.logit.empty())
    return fail("calibration: no cycle came to slot {}: verify more of them at full length", slot);
  return samples;
}

void SurvivalSoFar::multiply(int slot, const SlotFit& fit) {
  const auto k = static_cast<size_t>(slot);
  for (size_t i = 0; i < cycles_.size(); ++i)
    survival_[i] *=
        fit.confidence(static_cast<double>(cycles_[i].logits[k]),
                       has_certainty_ ? static_cast<double>(cycles_[i].certainty[k]) : 0);
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
    if (with_offsets && !samples.certainty.empty()) fit.calibration.weights.push_back(found.weight);
    fit.ece_before.push_back(unscaled.ece({}));
    fit.ece_after.push_back(samples.ece(found));
    raw.multiply(slot, {});
    fitted.multiply(slot, found);
  }
  return fit;
}

}  // namespace dspark::verify

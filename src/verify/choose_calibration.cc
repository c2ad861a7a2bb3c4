#include "verify/choose_calibration.h"

#include "verify/survival.h"

namespace dspark::verify {
namespace {

// STS's grid goes by ECE and always misses the least Brier score by a little.
constexpr double kLeastBrierGain = 0.002;

void score(std::span<const PromptCycles> prompts, int slots, HeldOut& held_out) {
  std::vector<double> confidence(static_cast<size_t>(slots)), survived(static_cast<size_t>(slots));
  for (size_t p = 1; p < prompts.size(); p += 2) {
    held_out.sample.begin_prompt();
    for (const ObservedCycle& cycle : prompts[p]) {
      survival(cycle.logits, cycle.certainty, held_out.calibration, confidence, survived);
      held_out.sample.add(survived, cycle.considered, cycle.accepted);
    }
  }
  held_out.intervals = bootstrap(held_out.sample);
}

}  // namespace

Result<CalibrationChoice> choose_calibration(std::span<const PromptCycles> prompts, int slots) {
  PromptCycles all, half;
  for (size_t p = 0; p < prompts.size(); ++p) {
    all.insert(all.end(), prompts[p].begin(), prompts[p].end());
    if (p % 2 == 0) half.insert(half.end(), prompts[p].begin(), prompts[p].end());
  }
  CalibrationChoice choice(slots);
  DSPARK_TRY(const CalibrationFit sts, fit_calibration(half, slots));
  DSPARK_TRY(const CalibrationFit scale_offset, fit_scale_offset(half, slots));
  choice.sts.calibration = as_stored(sts.calibration);
  choice.scale_offset.calibration = as_stored(scale_offset.calibration);
  for (HeldOut* held_out : {&choice.raw, &choice.sts, &choice.scale_offset})
    score(prompts, slots, *held_out);
  choice.gain = bootstrap_gain(choice.sts.sample, choice.scale_offset.sample);
  if (!choice.gain.ece)
    return fail("calibration: no prompt that is held out came to a slot: more prompts are needed");
  const bool better = choice.gain.ece->low > 0 || choice.gain.brier->low > kLeastBrierGain;
  DSPARK_TRY(const CalibrationFit fit,
             better ? fit_scale_offset(all, slots) : fit_calibration(all, slots));
  choice.calibration = as_stored(fit.calibration);
  return choice;
}

}  // namespace dspark::verify

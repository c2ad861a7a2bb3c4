// Private to the room verify: what the fits of a calibration look at.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "verify/bins.h"
#include "verify/calibration.h"
#include "verify/sigmoid.h"

namespace dspark::verify {

// An error when a cycle has other slots, impossible counts or a logit that is not finite.
Status check_cycles(std::span<const ObservedCycle> cycles, int slots);

// What one slot's fit looks at: the cycles that considered it.
struct SlotSamples {
  std::vector<double> logit, before;  // before: survival of the slots before it
  std::vector<bool> stood;

  double ece(double temperature, double offset) const;
};

// Cycles with their survival up to a slot.
class SurvivalSoFar {
 public:
  explicit SurvivalSoFar(std::span<const ObservedCycle> cycles)
      : cycles_(cycles), survival_(cycles.size(), 1) {}

  // An error when no cycle considered the slot.
  Result<SlotSamples> samples_of(int slot) const;
  void multiply(int slot, double temperature, double offset);

 private:
  std::span<const ObservedCycle> cycles_;
  std::vector<double> survival_;
};

// Temperature and offset that a fit finds for a slot.
struct SlotFit {
  double temperature = 1, offset = 0;
};

// Slot by slot from the left, each with the survival that the fits before it give. The result has
// temperatures, and offsets where they are wanted.
Result<CalibrationFit> fit_slots(std::span<const ObservedCycle> cycles, int slots,
                                 bool with_offsets,
                                 const std::function<SlotFit(const SlotSamples&)>& fit_slot);

}  // namespace dspark::verify

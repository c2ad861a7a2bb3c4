// Private to the room verify: what the fits of a calibration look at.
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "verify/bins.h"
#include "verify/calibration.h"
#include "verify/sigmoid.h"

namespace dspark::verify {

// An error when a cycle has other slots, impossible counts or a logit that is not finite.
Status check_cycles(std::span<const ObservedCycle> cycles, int slots);

// What a fit finds for a slot.
struct SlotFit {
  double temperature = 1, offset = 0, weight = 0;

  double confidence(double logit, double certainty) const {
    return sigmoid(logit / temperature + offset + weight * certainty);
  }
};

// What one slot's fit looks at: the cycles that considered it.
struct SlotSamples {
  std::vector<double> logit, before;  // before: survival of the slots before it
  std::vector<double> certainty;      // empty where not all cycles have it
  std::vector<bool> stood;

  double ece(const SlotFit& fit) const;
};

// Cycles with their survival up to a slot.
class SurvivalSoFar {
 public:
  explicit SurvivalSoFar(std::span<const ObservedCycle> cycles)
      : cycles_(cycles),
        survival_(cycles.size(), 1),
        has_certainty_(std::none_of(cycles.begin(), cycles.end(), [](const ObservedCycle& cycle) {
          return cycle.certainty.empty();
        })) {}

  // An error when no cycle considered the slot.
  Result<SlotSamples> samples_of(int slot) const;
  void multiply(int slot, const SlotFit& fit);

 private:
  std::span<const ObservedCycle> cycles_;
  std::vector<double> survival_;
  bool has_certainty_;
};

// Slot by slot from the left, each with the survival that the fits before it give. The result has
// temperatures, and offsets and weights where they are wanted: weights of certainties that there
// are.
Result<CalibrationFit> fit_slots(std::span<const ObservedCycle> cycles, int slots,
                                 bool with_offsets,
                                 const std::function<SlotFit(const SlotSamples&)>& fit_slot);

}  // namespace dspark::verify

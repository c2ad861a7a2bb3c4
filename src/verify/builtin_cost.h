// What rows cost where nothing was measured: the shape of a packed engine on a small CPU, where a
// few rows cost hardly more than one and many cost their share of the arithmetic.
#pragma once

#include "verify/planner.h"

namespace dspark::verify {

class BuiltInCost : public StepCost {
 public:
  // In steps of one row, drafting included; only ratios matter to planners.
  double step_ms(int rows) const override;
};

}  // namespace dspark::verify

// What a step costs, from a table.
#pragma once

#include <vector>

#include "verify/verify.h"

namespace dspark::simulate {

// Milliseconds of the target's step by its rows, and of a draft by its requests: linear between the
// points of the table, beyond its last along its last piece, never falling.
class Costs {
 public:
  explicit Costs(const verify::CostPoints& points);  // rows: >= 2 points; drafts: none or >= 2
  double target_ms(int rows) const;
  double draft_ms(int requests) const;

 private:
  struct Known {
    verify::CostCurve curve;
    mutable std::vector<double> ms = {};  // by count from 0, as far as asked for
    double at(int count) const;
  };
  Known rows_;
  std::vector<Known> drafts_;  // one or none
};

// A step after its drafts: the planners' view of it.
class CycleCost : public verify::StepCost {
 public:
  CycleCost(const Costs& costs, int drafting)
      : costs_(costs), draft_ms_(costs.draft_ms(drafting)) {}
  double step_ms(int rows) const override { return costs_.target_ms(rows) + draft_ms_; }

 private:
  const Costs& costs_;
  double draft_ms_;
};

}  // namespace dspark::simulate

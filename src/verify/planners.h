// Private to the room verify: the planners behind make_planner().
#pragma once

#include <memory>

#include "verify/planner.h"

namespace dspark::verify {

std::unique_ptr<Planner> make_off();
std::unique_ptr<Planner> make_fixed(int length);
std::unique_ptr<Planner> make_threshold(double threshold);
std::unique_ptr<Planner> make_causal();
std::unique_ptr<Planner> make_lagged();
std::unique_ptr<Planner> make_global();

// Rows of the step without any draft.
int plain_rows(const StepView& step);

}  // namespace dspark::verify

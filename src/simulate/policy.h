// What decides about drafts in a simulation.
#pragma once

#include <string>
#include <string_view>

#include "verify/verify.h"

namespace dspark::simulate {

struct Policy {
  std::string name;
  verify::PlannerSpec planner;
  bool paced =
      false;  // auto, ideal: requests that do not gain rest from drafting, as in the engine
  // ideal, oracle: a step takes what is worth its time, by the speed that this policy itself has in
  // the long run; of expected tokens no other choice of rows gives more in the end. And ideal is
  // the best of itself with all requests drafting, with rests, and with none.
  bool priced = false;
  bool oracle = false;  // knows what will be accepted, before it drafts
  // Verify lengths come of a budget for all requests together, on which ranks can agree.
  bool has_budget() const;
};

// A planner's name as of parse_planner(), auto (which is global where the text ignores drafts, else
// causal, or lagged where ranks have to agree), ideal or oracle. Errors name the nearest valid one,
// and what a mode or several ranks rule out.
Result<Policy> parse_policy(std::string_view text, verify::Mode mode, int ranks);

}  // namespace dspark::simulate

// How many slots are worth drafting for a request whose planner seldom verifies all.
#pragma once

#include <algorithm>

namespace dspark::verify {

// One slot more than was verified of late, so that it is seen when more would pay. It depends on
// cycles past alone, as rejection and block verification need.
class DraftLength {
 public:
  // Of at most `most` >= 1.
  int next(int most) const { return std::min(wanted_, most); }
  // What a cycle drafted and verified.
  void observe(int drafted, int verified);

 private:
  int wanted_ = 1 << 20;
  int unused_ = 0;  // cycles since the last of `wanted_` slots but one was verified
};

}  // namespace dspark::verify

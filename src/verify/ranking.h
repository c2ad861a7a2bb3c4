// Private to the room verify: the slots of a step in the order in which planners take them.
#pragma once

#include <span>
#include <vector>

#include "verify/planner.h"

namespace dspark::verify {

// Most slots that a request may have verified.
int most_slots(const RequestView& request);

// Slots by falling survival, ties to the smaller slot, then to the smaller request; none of
// survival 0 (or NaN), and of a request none behind such a one. Found one by one: a heap holds each
// request's next slot.
class Ranking {
 public:
  enum class By { kSurvival, kLaggedSurvival };
  struct Candidate {
    double survival;
    int slot, request;
  };

  void start(std::span<const RequestView> requests, By by);
  bool empty() const { return heap_.empty(); }
  const Candidate& best() const { return heap_.front(); }
  void pop();

 private:
  // The request's slot, if it is a candidate.
  bool candidate(int request, int slot, Candidate* out) const;
  void sift_down(size_t place);

  std::span<const RequestView> requests_;
  By by_ = By::kSurvival;
  std::vector<Candidate> heap_;
};

}  // namespace dspark::verify

// off, fixed and threshold: a request's length is its own affair, but for the step's room.
#include <algorithm>

#include "verify/planners.h"
#include "verify/ranking.h"

namespace dspark::verify {
namespace {

// Gives the rows that are left to the first slots of all requests, then to the second ones and so
// on: a slot's turn depends on no later slot.
int share_rows(int64_t left, std::span<int> lengths) {
  int given = 0, longest = 0;
  for (const int length : lengths) longest = std::max(longest, length);
  for (int slot = 0; slot < longest; ++slot)
    for (int& length : lengths) {
      if (length <= slot) continue;
      if (given < left)
        ++given;
      else
        length = slot;
    }
  return given;
}

// length_of(request, &evaluated) is what a request would have.
template <class LengthOf>
Plan plan_each(const StepView& step, const StepCost& cost, std::span<int> lengths,
               LengthOf length_of) {
  CHECK(lengths.size() == step.requests.size(), "{} lengths of {} requests", lengths.size(),
        step.requests.size());
  Plan plan;
  for (size_t r = 0; r < lengths.size(); ++r)
    lengths[r] = length_of(step.requests[r], &plan.evaluated);
  plan.rows = plain_rows(step);
  plan.rows += share_rows(int64_t{step.max_rows} - plan.rows, lengths);
  for (size_t r = 0; r < lengths.size(); ++r) {
    const auto survival = step.requests[r].survival;
    const size_t known = std::min(static_cast<size_t>(lengths[r]), survival.size());
    plan.expected_tokens += 1;
    for (size_t j = 0; j < known; ++j) plan.expected_tokens += survival[j];
  }
  if (plan.rows > 0) plan.tokens_per_ms = plan.expected_tokens / cost.step_ms(plan.rows);
  return plan;
}

class Fixed : public Planner {
 public:
  explicit Fixed(int length) : length_(length) {}
  Plan plan(const StepView& step, const StepCost& cost, std::span<int> lengths) override {
    return plan_each(step, cost, lengths, [&](const RequestView& request, int*) {
      return std::min(length_, most_slots(request));
    });
  }
  Needs needs() const override { return {}; }
  int most_length() const override { return length_; }

 private:
  int length_;
};

class Threshold : public Planner {
 public:
  explicit Threshold(double threshold) : threshold_(threshold) {}
  Plan plan(const StepView& step, const StepCost& cost, std::span<int> lengths) override {
    return plan_each(step, cost, lengths, [&](const RequestView& request, int* evaluated) {
      const int most = most_slots(request);
      CHECK(request.confidence.size() >= static_cast<size_t>(most), "{} confidences of {} slots",
            request.confidence.size(), most);
      int length = 0;
      while (length < most) {
        ++*evaluated;
        // NaN is below every threshold.
        if (!(request.confidence[static_cast<size_t>(length)] >= threshold_)) break;
        ++length;
      }
      return length;
    });
  }
  Needs needs() const override { return {.confidence = true}; }

 private:
  double threshold_;
};

}  // namespace

std::unique_ptr<Planner> make_off() { return std::make_unique<Fixed>(0); }
std::unique_ptr<Planner> make_fixed(int length) { return std::make_unique<Fixed>(length); }
std::unique_ptr<Planner> make_threshold(double threshold) {
  return std::make_unique<Threshold>(threshold);
}

}  // namespace dspark::verify

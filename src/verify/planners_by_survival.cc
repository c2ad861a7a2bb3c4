// causal, lagged and global: slots of all requests in one ranking, taken for as long as they pay.
#include <algorithm>

#include "verify/planners.h"
#include "verify/ranking.h"

namespace dspark::verify {
namespace {

// A step that takes the ranking's slots one after another.
class Prefix {
 public:
  Prefix(const StepView& step, const StepCost& cost)
      : cost_(cost),
        left_(int64_t{step.max_rows} - plain_rows(step)),
        rows_(plain_rows(step)),
        tokens_(static_cast<double>(step.requests.size())),
        rate_(tokens_ / cost.step_ms(std::max(rows_, 1))) {}

  bool full() const { return taken_ >= left_; }
  void take(double survival) {
    ++taken_;
    ++rows_;
    tokens_ += survival;
    rate_ = tokens_ / cost_.step_ms(rows_);
  }
  int taken() const { return taken_; }
  double rate() const { return rate_; }
  Plan plan() const { return {rows_, tokens_, rate_, taken_, -1}; }

 private:
  const StepCost& cost_;
  int64_t left_;
  int rows_;
  double tokens_;
  double rate_;  // expected tokens per ms
  int taken_ = 0;
};

void check_step(const StepView& step, std::span<int> lengths) {
  CHECK(lengths.size() == step.requests.size(), "{} lengths of {} requests", lengths.size(),
        step.requests.size());
  for (const RequestView& request : step.requests)
    CHECK(request.survival.size() >= static_cast<size_t>(std::max(0, request.drafted)),
          "{} survivals of {} slots", request.survival.size(), request.drafted);
}

class Causal : public Planner {
 public:
  Plan plan(const StepView& step, const StepCost& cost, std::span<int> lengths) override {
    check_step(step, lengths);
    std::fill(lengths.begin(), lengths.end(), 0);
    Prefix prefix(step, cost);
    Plan best = prefix.plan();
    ranking_.start(step.requests, Ranking::By::kSurvival);
    for (; !ranking_.empty() && !prefix.full(); ranking_.pop()) {
      prefix.take(ranking_.best().survival);
      // The stop keeps the distribution: to look further would let later slots, and with them this
      // slot's token, decide about it.
      if (!(prefix.rate() > best.tokens_per_ms)) break;
      best = prefix.plan();
      lengths[static_cast<size_t>(ranking_.best().request)] = ranking_.best().slot + 1;
    }
    best.evaluated = prefix.taken();
    return best;
  }
  Needs needs() const override { return {.survival = true}; }

 private:
  Ranking ranking_;
};

// The number of slots at which tokens per ms are largest, the first such; fewest slots on ties.
int best_count(const StepView& step, const StepCost& cost, Ranking::By by, Ranking& ranking,
               int* evaluated) {
  Prefix prefix(step, cost);
  double best_rate = prefix.rate();
  int best = 0;
  for (ranking.start(step.requests, by); !ranking.empty() && !prefix.full(); ranking.pop()) {
    prefix.take(ranking.best().survival);
    if (prefix.rate() > best_rate) best_rate = prefix.rate(), best = prefix.taken();
  }
  *evaluated = prefix.taken();
  return best;
}

// lagged: counted by the survival of steps before; global: by that of now.
class Counted : public Planner {
 public:
  explicit Counted(Ranking::By by) : by_(by) {}
  Plan plan(const StepView& step, const StepCost& cost, std::span<int> lengths) override {
    check_step(step, lengths);
    std::fill(lengths.begin(), lengths.end(), 0);
    int evaluated = 0;
    const int budget = best_count(step, cost, by_, ranking_, &evaluated);
    Prefix prefix(step, cost);
    ranking_.start(step.requests, Ranking::By::kSurvival);
    for (; !ranking_.empty() && prefix.taken() < budget; ranking_.pop()) {
      prefix.take(ranking_.best().survival);
      lengths[static_cast<size_t>(ranking_.best().request)] = ranking_.best().slot + 1;
    }
    Plan plan = prefix.plan();
    plan.evaluated = evaluated;
    if (by_ == Ranking::By::kLaggedSurvival) plan.budget = budget;
    return plan;
  }
  Needs needs() const override {
    return {.survival = true, .lagged_survival = by_ == Ranking::By::kLaggedSurvival};
  }

 private:
  Ranking::By by_;
  Ranking ranking_;
};

}  // namespace

std::unique_ptr<Planner> make_causal() { return std::make_unique<Causal>(); }
std::unique_ptr<Planner> make_lagged() {
  return std::make_unique<Counted>(Ranking::By::kLaggedSurvival);
}
std::unique_ptr<Planner> make_global() { return std::make_unique<Counted>(Ranking::By::kSurvival); }

}  // namespace dspark::verify

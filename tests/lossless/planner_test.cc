// What holds for every plan of every planner, over random steps.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "lossless/toy.h"

namespace dspark::verify::testing {
namespace {

constexpr const char* kLegal[] = {"off",    "fixed:1",       "fixed:3", "fixed:100",
                                  "causal", "threshold:0.6", "lagged"};
constexpr const char* kAll[] = {"off",    "fixed:1",       "fixed:3", "fixed:100",
                                "causal", "threshold:0.6", "lagged",  "global"};

// Many cases, and the same ones in every run; RC_PARAMS overrides it.
[[maybe_unused]] const int configured = setenv("RC_PARAMS", "seed=1 max_success=2000", 0);

struct Request {
  int drafted, limit;
  std::vector<double> confidence, survival, lagged;
};

struct Step {
  std::vector<Request> requests;
  int other_rows, max_rows;
  std::vector<double> ms;  // by rows

  int plain_rows() const { return static_cast<int>(requests.size()) + other_rows; }
};

class TableCosts : public StepCost {
 public:
  explicit TableCosts(const std::vector<double>& ms) : ms_(ms) {}
  double step_ms(int rows) const override {
    return ms_[std::min(static_cast<size_t>(rows), ms_.size() - 1)];
  }

 private:
  const std::vector<double>& ms_;
};

std::vector<double> products(const std::vector<double>& confidence) {
  std::vector<double> result;
  double product = 1;
  for (const double c : confidence) result.push_back(product *= c);
  return result;
}

// Confidences of few values, so that ties are common; 0 and 1 among them.
rc::Gen<std::vector<double>> confidences(int slots) {
  return rc::gen::container<std::vector<double>>(
      static_cast<size_t>(slots), rc::gen::map(rc::gen::inRange(0, 11), [](int tenths) {
        return static_cast<double>(tenths) / 10;
      }));
}

Request any_request() {
  Request r;
  r.drafted = *rc::gen::inRange(0, 9);
  r.limit = *rc::gen::element(0, 1, 3, 7, 1000);
  r.confidence = *confidences(r.drafted);
  r.survival = products(r.confidence);
  r.lagged = products(*confidences(*rc::gen::inRange(0, 9)));
  return r;
}

Step any_step() {
  Step step;
  const int count = *rc::gen::inRange(0, 12);
  for (int i = 0; i < count; ++i) step.requests.push_back(any_request());
  step.other_rows = *rc::gen::element(0, 0, 5);
  step.max_rows = *rc::gen::element(std::numeric_limits<int>::max(), 0, 4, 16, 40);
  double ms = 1;
  for (int rows = 0; rows < 120; ++rows) {
    step.ms.push_back(ms);
    ms += *rc::gen::element(0.0, 0.05, 0.3, 1.0);
  }
  return step;
}

struct Planned {
  Plan plan;
  std::vector<int> lengths;
};

Planned plan_of(const char* name, const Step& step) {
  std::vector<RequestView> views;
  for (const Request& r : step.requests)
    views.push_back({r.drafted, r.limit, r.confidence, r.survival, r.lagged});
  Planned planned{{}, std::vector<int>(views.size(), -1)};
  planned.plan =
      make_planner(parse_planner(name).take(), Mode::kCoupled)
          .take()
          ->plan({views, step.other_rows, step.max_rows}, TableCosts(step.ms), planned.lengths);
  return planned;
}

TEST(Planner, KeepsToItsLimits) {
  EXPECT_TRUE(rc::check([] {
    const Step step = any_step();
    for (const char* name : kAll) {
      const auto [plan, lengths] = plan_of(name, step);
      int slots = 0;
      for (size_t r = 0; r < lengths.size(); ++r) {
        RC_ASSERT(lengths[r] >= 0);
        RC_ASSERT(lengths[r] <= std::min(step.requests[r].drafted, step.requests[r].limit));
        slots += lengths[r];
      }
      RC_ASSERT(plan.rows == step.plain_rows() + slots);
      RC_ASSERT(slots == 0 || plan.rows <= step.max_rows);
      double tokens = static_cast<double>(lengths.size());
      for (size_t r = 0; r < lengths.size(); ++r)
        for (int j = 0; j < lengths[r]; ++j)
          tokens += step.requests[r].survival[static_cast<size_t>(j)];
      RC_ASSERT(std::fabs(plan.expected_tokens - tokens) < 1e-9);
      const double rate = plan.rows == 0 ? 0 : tokens / TableCosts(step.ms).step_ms(plan.rows);
      RC_ASSERT(std::fabs(plan.tokens_per_ms - rate) < 1e-9);
    }
  }));
}

// Slots in the ranking's order: larger survival, smaller slot, smaller request.
std::vector<std::pair<size_t, int>> ranked(const Step& step, bool lagged) {
  std::vector<std::tuple<double, int, size_t>> slots;
  for (size_t r = 0; r < step.requests.size(); ++r) {
    const Request& request = step.requests[r];
    const auto& survival = lagged ? request.lagged : request.survival;
    const int drafted = lagged ? static_cast<int>(survival.size()) : request.drafted;
    for (int j = 0; j < std::min(drafted, request.limit); ++j)
      if (survival[static_cast<size_t>(j)] > 0)
        slots.emplace_back(-survival[static_cast<size_t>(j)], j, r);
  }
  std::sort(slots.begin(), slots.end());
  std::vector<std::pair<size_t, int>> result;
  for (const auto& [survival, j, r] : slots) result.emplace_back(r, j);
  return result;
}

TEST(Planner, EqualsThePlainDefinitions) {
  EXPECT_TRUE(rc::check([] {
    const Step step = any_step();
    const TableCosts cost(step.ms);
    const int plain = step.plain_rows();
    // Tokens per ms after k slots of an order.
    const auto rates = [&](bool lagged) {
      double tokens = static_cast<double>(step.requests.size());
      std::vector<double> result{tokens / cost.step_ms(std::max(plain, 1))};
      int rows = plain;
      for (const auto& [r, j] : ranked(step, lagged)) {
        if (++rows > step.max_rows) break;
        const Request& request = step.requests[r];
        tokens += (lagged ? request.lagged : request.survival)[static_cast<size_t>(j)];
        result.push_back(tokens / cost.step_ms(rows));
      }
      return result;
    };
    const auto first_slots = [&](size_t count) {
      std::vector<int> lengths(step.requests.size(), 0);
      const auto order = ranked(step, false);
      for (size_t k = 0; k < std::min(count, order.size()); ++k)
        lengths[order[k].first] = order[k].second + 1;
      return lengths;
    };
    const auto best = [](const std::vector<double>& rate) {
      return static_cast<size_t>(std::max_element(rate.begin(), rate.end()) - rate.begin());
    };
    const std::vector<double> now = rates(false), before = rates(true);
    size_t rises = 0;
    while (rises + 1 < now.size() && now[rises + 1] > now[rises]) ++rises;
    RC_ASSERT(plan_of("causal", step).lengths == first_slots(rises));
    RC_ASSERT(plan_of("global", step).lengths == first_slots(best(now)));
    const auto [plan, lengths] = plan_of("lagged", step);
    RC_ASSERT(lengths == first_slots(best(before)));
    RC_ASSERT(plan.budget == static_cast<int>(best(before)));
  }));
}

TEST(Planner, GlobalIsBest) {
  EXPECT_TRUE(rc::check([] {
    const Step step = any_step();
    const double best = plan_of("global", step).plan.tokens_per_ms;
    for (const char* name : kLegal)
      RC_ASSERT(plan_of(name, step).plan.tokens_per_ms <= best * (1 + 1e-12));
  }));
}

// Whether each slot up to j of request r is verified, under other values of what follows from
// slot j's token: confidences of the slots behind it, and whether there are any.
bool decides_in_time(const char* name, Step step, size_t r, int j,
                     const std::vector<double>& later) {
  const int before = std::min(plan_of(name, step).lengths[r], j + 1);
  Request& request = step.requests[r];
  request.confidence.resize(static_cast<size_t>(j) + 1);
  request.confidence.insert(request.confidence.end(), later.begin(), later.end());
  request.drafted = static_cast<int>(request.confidence.size());
  request.survival = products(request.confidence);
  return std::min(plan_of(name, step).lengths[r], j + 1) == before;
}

TEST(Planner, ASlotIsDecidedBeforeItsTokenIsKnown) {
  EXPECT_TRUE(rc::check([] {
    Step step = any_step();
    RC_PRE(!step.requests.empty());
    const auto r = *rc::gen::inRange<size_t>(0, step.requests.size());
    RC_PRE(step.requests[r].drafted > 0);
    const int j = *rc::gen::inRange(0, step.requests[r].drafted);
    const auto later = *confidences(*rc::gen::inRange(0, 8));
    for (const char* name : kLegal) RC_ASSERT(decides_in_time(name, step, r, j, later));
  }));
}

TEST(Planner, ThatPropertyTellsGlobalFromTheOthers) {
  // Appendix A's step: what follows the first slot decides about it.
  Step step;
  step.requests.push_back({2, 1000, {0.8, 0.9}, products({0.8, 0.9}), {}});
  step.other_rows = 0;
  step.max_rows = 100;
  step.ms = {1, 1, 2, 1 / 0.45};
  EXPECT_FALSE(decides_in_time("global", step, 0, 0, {0}));
  for (const char* name : kLegal) EXPECT_TRUE(decides_in_time(name, step, 0, 0, {0})) << name;
}

TEST(Planner, ConfidencesThatAreNotNumbersEndADraft) {
  const double nan = std::nan("");
  Step step;
  step.requests.push_back({3, 1000, {0.9, nan, 0.9}, {0.9, nan, nan}, {0.9, 0.9, 0.9}});
  step.requests.push_back({1, 1000, {nan}, {nan}, {}});
  step.other_rows = 0;
  step.max_rows = 100;
  step.ms = {1};
  for (const char* name : {"causal", "threshold:0", "lagged", "global"})
    EXPECT_EQ(plan_of(name, step).lengths, (std::vector<int>{1, 0})) << name;
}

TEST(Planner, APromptInTheStepMakesNoDraftWorthMore) {
  // A row takes a quarter millisecond beside a step's one, so that four tokens take two: a draft
  // has to be accepted more often than half the time, whether sixty rows of a prompt come along or
  // not.
  const std::vector<double> ms = [] {
    std::vector<double> of(80);
    for (size_t rows = 0; rows < of.size(); ++rows) of[rows] = 1 + 0.25 * static_cast<double>(rows);
    return of;
  }();
  const TableCosts step(ms);
  for (const double chance : {0.45, 0.55})
    for (const int prompt_rows : {0, 60}) {
      const std::vector<double> one{chance};
      const std::vector<RequestView> views(
          4, RequestView{.drafted = 1, .confidence = one, .survival = one, .lagged_survival = {}});
      for (const char* name : {"causal", "global"}) {
        std::vector<int> lengths(4);
        auto planner = make_planner(parse_planner(name).value(), Mode::kCoupled);
        ASSERT_TRUE(planner.ok());
        const Plan plan = planner.value()->plan({views, prompt_rows},
                                                WithoutPrompts(step, 4, prompt_rows), lengths);
        EXPECT_EQ(lengths, std::vector<int>(4, chance > 0.5 ? 1 : 0)) << name << prompt_rows;
        EXPECT_EQ(plan.rows, 4 + prompt_rows + (chance > 0.5 ? 4 : 0));
      }
    }
}

TEST(Planner, AFullStepGivesFirstSlotsFirst) {
  Step step;
  for (int i = 0; i < 3; ++i)
    step.requests.push_back({4, 1000, {0.9, 0.9, 0.9, 0.9}, products({0.9, 0.9, 0.9, 0.9}), {}});
  step.requests[1].drafted = 1;
  step.other_rows = 2;
  step.max_rows = 10;
  step.ms = {1};
  EXPECT_EQ(plan_of("fixed:4", step).lengths, (std::vector<int>{2, 1, 2}));
  EXPECT_EQ(plan_of("threshold:0.5", step).lengths, (std::vector<int>{2, 1, 2}));
  EXPECT_EQ(plan_of("causal", step).lengths, (std::vector<int>{2, 1, 2}));
  step.max_rows = 5;
  EXPECT_EQ(plan_of("fixed:4", step).lengths, (std::vector<int>{0, 0, 0}));
}

}  // namespace
}  // namespace dspark::verify::testing

// What planning and acceptance cost: time, and no memory once buffers have their size.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>

#include "allocations.h"
#include "lossless/toy.h"
#include "sanitized.h"

namespace dspark::verify::testing {
namespace {

using dspark::testing::allocations;

constexpr int kRequests = 64, kSlots = 7, kVocab = 49152;

class Costs : public StepCost {
 public:
  double step_ms(int rows) const override { return 2 + 0.01 * rows; }
};

double elapsed_us(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

// A full server's step, confident enough that most slots are looked at.
struct Server {
  std::vector<std::vector<double>> confidence, survival;
  std::vector<RequestView> views;
  std::vector<int> lengths = std::vector<int>(kRequests, 0);

  Server() {
    std::mt19937 random(5);
    std::uniform_real_distribution<double> uniform(0.7, 1);
    for (int r = 0; r < kRequests; ++r) {
      auto& c = confidence.emplace_back();
      auto& s = survival.emplace_back();
      for (int j = 0; j < kSlots; ++j) {
        c.push_back(uniform(random));
        s.push_back(j == 0 ? c[0] : s.back() * c.back());
      }
    }
    for (size_t r = 0; r < kRequests; ++r)
      views.push_back({kSlots, 1000, confidence[r], survival[r], survival[r]});
  }
};

TEST(Resources, PlanningTakesUnder50UsAndNoMemory) {
  Server server;
  const Costs cost;
  for (const char* name : {"off", "fixed:4", "threshold:0.5", "causal", "lagged", "global"}) {
    const auto planner = make_planner(parse_planner(name).take(), Mode::kCoupled).take();
    const Plan first = planner->plan({server.views}, cost, server.lengths);
    double best_us = 1e9;
    const int64_t before = allocations;
    for (int repeat = 0; repeat < 200; ++repeat) {
      const auto start = std::chrono::steady_clock::now();
      planner->plan({server.views}, cost, server.lengths);
      best_us = std::min(best_us, elapsed_us(start));
    }
    EXPECT_EQ(allocations, before) << name;
    if (!dspark::testing::kSanitized) {
      EXPECT_LT(best_us, 50) << name;
    }
    std::printf("plan of %d requests x %d slots, %s: %.1f us, %d rows, %d slots evaluated\n",
                kRequests, kSlots, name, best_us, first.rows, first.evaluated);
  }
}

TEST(Resources, SurvivalTakesNoMemory) {
  const Calibration calibration{{1.5, 2}};
  const std::vector<float> logits(kSlots, 1.5f);
  std::vector<double> confidence(kSlots), survived(kSlots);
  const int64_t before = allocations;
  survival(logits, {}, calibration, confidence, survived);
  EXPECT_EQ(allocations, before);
}

TEST(Resources, AcceptanceTakesNoMemory) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal(0, 3);
  std::vector<Row> rows(kSlots + 1, Row(kVocab));
  for (Row& row : rows)
    for (float& logit : row) logit = normal(random);
  for (const Mode mode : {Mode::kGreedy, Mode::kCoupled, Mode::kRejection, Mode::kBlock}) {
    sample::Params params;
    params.temperature = mode == Mode::kGreedy ? 0 : 1;
    sample::Sampler sampler(params, {}, kVocab);
    // The drafter is the target, so every draft is accepted and every row read.
    Tokens drafts;
    std::vector<Row> q;
    for (size_t j = 0; j < kSlots; ++j) {
      drafts.push_back(sampler.choose(rows[j], 101 + static_cast<int64_t>(j)).take());
      q.push_back(distribution(params, {}, rows[j]));
    }
    const std::vector<std::span<const float>> spans(rows.begin(), rows.end());
    std::vector<DraftDistribution> draft_distributions;
    for (const Row& row : q) draft_distributions.push_back({{}, row});
    const CycleInput cycle{100, drafts, spans, draft_distributions, {}};
    Verifier verifier(mode, kVocab);
    EXPECT_EQ(verifier.verify(cycle, sampler).take().accepted, kSlots) << mode_name(mode);
    double best_us = 1e9;
    const int64_t before = allocations;
    for (int repeat = 0; repeat < 10; ++repeat) {
      const auto start = std::chrono::steady_clock::now();
      ASSERT_TRUE(verifier.verify(cycle, sampler).ok());
      best_us = std::min(best_us, elapsed_us(start));
    }
    EXPECT_EQ(allocations, before) << mode_name(mode);
    std::printf("verification of %d drafts over %d logits, %s: %.0f us\n", kSlots, kVocab,
                mode_name(mode), best_us);
  }
}

}  // namespace
}  // namespace dspark::verify::testing

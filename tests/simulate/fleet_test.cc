// What a fleet counts: steps, tokens and times that can be told beforehand.
#include <gtest/gtest.h>

#include "simulate/support.h"

namespace dspark::simulate::testing {
namespace {

TEST(Fleet, FixedLengthsHaveTheClosedFormsTau) {
  const Recording recording = recording_of(0.8, 6, 0.5);
  const Costs costs = knee(2, 16);
  const Trial run(recording, costs);
  const std::vector<double> acceptance(6, 0.8);
  EXPECT_DOUBLE_EQ(run.closed("off", 4).tau(), 1);
  for (const int n : {1, 3, 6}) {
    const Figures figures = run.closed(fmt::format("fixed:{}", n).c_str(), 4, 60000);
    // Requests end within their last blocks, which is all that differs.
    EXPECT_NEAR(figures.tau(), expected_tau(acceptance, n), 0.03) << n;
    EXPECT_NEAR(figures.budget(), n, 0.06) << n;
    EXPECT_NEAR(figures.rows_of_step(), 4 * (n + 1), 0.25) << n;
    EXPECT_NEAR(figures.total_tok_per_s(), 4 * figures.per_user_tok_per_s(), 1e-6) << n;
  }
}

TEST(Fleet, TimeIsTheTables) {
  const Recording recording = recording_of(0.7, 4, 0.2);
  const Costs costs({{{1, 3}, {64, 3}}, {{1, 0.5}, {9, 1.5}}});
  const Trial run(recording, costs);
  const Figures off = run.closed("off", 5, 10000), drafted = run.closed("fixed:2", 5, 10000);
  EXPECT_NEAR(off.ms, static_cast<double>(off.steps) * 3, 1e-6);
  EXPECT_EQ(off.drafted_cycles, 0);
  // Most of the time all five are drafted for; one at its last token is not.
  EXPECT_GT(drafted.ms, static_cast<double>(drafted.steps) * 3.9);
  EXPECT_LE(drafted.ms, static_cast<double>(drafted.steps) * 4.0 + 1e-6);
}

// Text that repeats: it costs no drafting, is there while drafting rests, and goes on behind what a
// planner takes of it.
TEST(Fleet, WhatWasLookedUpIsFreeAndGoesOn) {
  Recording recording;
  recording.begin_answer(4000);
  recording.add(std::vector<double>(15, 0.95), 14, true);
  recording.add(std::vector<double>(4, 0.02), 0);
  ASSERT_TRUE(recording.finish().ok());
  const Costs costs({{{1, 2}, {4, 2}, {64, 32}}, {{1, 1}, {9, 9}}});
  const Trial run(recording, costs);
  // 14 tokens and the 15th, three drafts at a time: 4, 4, 4, 3; then one that was drafted for.
  const Figures fixed = run.closed("fixed:3", 1);
  EXPECT_NEAR(fixed.tau(), 16.0 / 5, 0.01);
  EXPECT_NEAR(static_cast<double>(fixed.drafted_cycles) / static_cast<double>(fixed.cycles), 0.2,
              0.01);
  const Figures chosen = run.closed("auto", 1);
  EXPECT_GT(chosen.tau(), 3);
  EXPECT_LT(static_cast<double>(chosen.drafted_cycles), 0.02 * static_cast<double>(chosen.cycles));
  EXPECT_GT(chosen.total_tok_per_s(), fixed.total_tok_per_s());
}

TEST(Fleet, TheSameSeedGivesTheSameFigures) {
  const Recording recording = recording_of(0.7, 5, 0.4);
  const Costs costs = slope();
  Trial run(recording, costs);
  for (const char* policy : {"auto", "lagged", "threshold:0.6"}) {
    const Figures first = run.closed(policy, 6), again = run.closed(policy, 6);
    EXPECT_EQ(first.ms, again.ms);
    EXPECT_EQ(first.verified, again.verified);
    EXPECT_EQ(first.tokens, again.tokens);
  }
  const Figures first = run.closed("auto", 6);
  run.setup.seed = 2;
  EXPECT_NE(first.verified, run.closed("auto", 6).verified);
}

TEST(Fleet, OneRequestOfAnOpenLoop) {
  const Recording recording = recording_of(0.7, 4, 0.2);
  const Costs costs({{{1, 10}, {2, 20}, {8, 80}}, {}});
  Trial run(recording, costs);
  run.setup.prefill_chunk = 4;
  const std::vector<Arrival> arrivals{{100, 10, 6}};
  const Figures figures = run_open(run.setup, run.policy_of("off"), arrivals, 8);
  // A prompt of 4 + 4 + 2 rows, then five steps of one.
  EXPECT_DOUBLE_EQ(figures.ms, 40 + 40 + 20 + 5 * 10);
  EXPECT_DOUBLE_EQ(figures.first_token_ms.at(0), 100);
  EXPECT_DOUBLE_EQ(figures.tok_per_s.at(0), 100);
  EXPECT_EQ(figures.tokens, 6);
  EXPECT_EQ(figures.steps, 8);
}

TEST(Fleet, AnOpenLoopServesAllAndWaitsInLine) {
  const Recording recording = recording_of(0.7, 4, 0.4);
  const Costs costs = knee(5, 8);
  Trial run(recording, costs);
  const std::vector<Arrival> arrivals = poisson(50, 200, 20, 30, 9);
  for (size_t i = 1; i < arrivals.size(); ++i) EXPECT_GE(arrivals[i].at_ms, arrivals[i - 1].at_ms);
  EXPECT_NEAR(arrivals.back().at_ms, 200 / 50.0 * 1e3, 800);
  for (const char* policy : {"off", "fixed:3", "auto"})
    for (const int ranks : {1, 3}) {
      run.setup.ranks = ranks;
      const Figures figures = run_open(run.setup, run.policy_of(policy), arrivals, 4);
      EXPECT_EQ(figures.tokens, 200 * 30) << policy;
      EXPECT_EQ(figures.tok_per_s.size(), 200u) << policy;
      for (const double ms : figures.first_token_ms) EXPECT_GE(ms, 5) << policy;
      EXPECT_LE(figures.running, figures.ms * ranks * 4) << policy;
    }
  run.setup.ranks = 1;
  const Figures narrow = run_open(run.setup, run.policy_of("off"), arrivals, 1);
  const Figures wide = run_open(run.setup, run.policy_of("off"), arrivals, 64);
  EXPECT_GT(narrow.first_token_ms.back(), 2 * wide.first_token_ms.back());
}

TEST(Fleet, TokensAreAsManyAsAsked) {
  const Recording recording = recording_of(0.9, 7, 0.4);
  const Costs costs = knee(5, 64);
  const Trial run(recording, costs);
  std::vector<Arrival> arrivals{{0, 0, 1}, {0, 0, 2}, {0, 3, 1}, {1, 0, 0}};
  const Figures figures = run_open(run.setup, run.policy_of("fixed:7"), arrivals, 64);
  EXPECT_EQ(figures.tokens, 1 + 2 + 1 + 1000);
}

TEST(Fleet, RanksGoTogetherAndAgree) {
  const Recording recording = recording_of(0.7, 6, 0.5);
  const Costs costs = slope();
  Trial run(recording, costs);
  const Figures alone = run.closed("global", 8);
  run.setup.ranks = 2;
  Figures by[3];
  for (const Agreement agreement : {Agreement::kMinimum, Agreement::kMean, Agreement::kMaximum}) {
    run.setup.agreement = agreement;
    by[static_cast<int>(agreement)] = run.closed("global", 16);
  }
  EXPECT_LT(by[0].budget(), by[1].budget());
  EXPECT_LT(by[1].budget(), by[2].budget());
  EXPECT_NEAR(by[1].budget(), alone.budget(), 0.05 * alone.budget());
  // Two ranks do twice the work in the time of the slower.
  EXPECT_NEAR(by[1].total_tok_per_s(), 2 * alone.total_tok_per_s(), 0.05 * alone.total_tok_per_s());
  // What has no budget for all is not changed by ranks, but for the wait.
  run.setup.agreement = Agreement::kMinimum;
  EXPECT_NEAR(run.closed("fixed:3", 16).budget(), 3, 0.1);
}

}  // namespace
}  // namespace dspark::simulate::testing

// Costs learned from steps, and whether drafting goes on.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "verify/verify.h"

namespace dspark::verify {
namespace {

CostCurve usual() { return CostCurve({{1, 1}, {2, 1.1}, {4, 1.2}, {8, 2}, {16, 4}}); }

TEST(CostCurve, TheFirstObservationGivesTheScale) {
  CostCurve curve = usual();
  EXPECT_DOUBLE_EQ(curve.at(3), 1.15);
  EXPECT_DOUBLE_EQ(curve.at(24), 6);  // along the last piece
  curve.observe(4, 3.6);
  EXPECT_NEAR(curve.at(1), 3, 1e-9);
  EXPECT_NEAR(curve.at(16), 12, 1e-9);
  curve.observe(4, 0);
  curve.observe(4, std::nan(""));
  EXPECT_EQ(curve.observations(), 1);
}

TEST(CostCurve, LearnsTheShapeAndFollowsTheMachine) {
  CostCurve curve = usual();
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0, 0.05);
  const auto truth = [](int rows) { return 2.5 * (1 + 0.12 * (rows - 1)); };
  const auto run = [&](int steps, double factor) {
    for (int i = 0; i < steps; ++i) {
      const int rows = 1 + static_cast<int>(random() % 6);
      curve.observe(rows, factor * truth(rows) * std::exp(noise(random)));
    }
  };
  run(300, 1);
  for (int rows = 1; rows <= 6; ++rows) EXPECT_NEAR(curve.at(rows) / truth(rows), 1, 0.06) << rows;
  run(25, 1.8);  // a neighbour came
  for (int rows = 1; rows <= 6; ++rows)
    EXPECT_NEAR(curve.at(rows) / truth(rows) / 1.8, 1, 0.12) << rows;
  EXPECT_GT(curve.at(16), 1.5 * 4 * 2.5);  // never seen: it went along
  run(25, 1);
  for (int rows = 1; rows <= 6; ++rows) EXPECT_NEAR(curve.at(rows) / truth(rows), 1, 0.12) << rows;
}

TEST(CostCurve, OneWildStepHardlyMatters) {
  CostCurve curve = usual();
  for (int i = 0; i < 50; ++i) curve.observe(4, 3);
  curve.observe(4, 300);
  EXPECT_NEAR(curve.at(4) / 3, 1, 0.12);
}

TEST(CostCurve, NeverFalls) {
  CostCurve curve = usual();
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    curve.observe(1 + static_cast<int>(random() % 20),
                  std::exp(static_cast<double>(random() % 9) - 4));
    for (int rows = 1; rows < 24; ++rows) ASSERT_LE(curve.at(rows), curve.at(rows + 1));
  }
  const CostCurve again(curve.points());
  for (int rows = 1; rows < 24; ++rows) EXPECT_NEAR(again.at(rows), curve.at(rows), 1e-9);
}

TEST(CostTable, CountsDraftsAndCache) {
  CostTable table(100e6);
  EXPECT_FALSE(table.measured());
  table.observe_target(1, 0, 3);
  table.observe_draft(1, 0.5);
  EXPECT_TRUE(table.measured());
  table.prepare(0, 0);
  EXPECT_NEAR(table.step_ms(1), 3, 1e-9);
  table.prepare(50e6, 1);
  EXPECT_GT(table.step_ms(1), 3 + 0.5 + 1.5);  // half the weights' bytes, read more slowly
  EXPECT_LT(table.step_ms(1), 3 + 0.5 + 3);
  // With a long context the same rows take longer; the table doesn't mistake that for dear rows.
  for (int i = 0; i < 100; ++i) table.observe_target(1, 100e6, 3 + 4.2);
  table.prepare(0, 0);
  EXPECT_NEAR(table.step_ms(1), 3, 0.1);
}

// Cycles of a request that drafts when its pace says so; the share that drafted.
double share_drafted(Pace pace, int cycles, double mean_accepted, double draft_ms, unsigned seed) {
  std::mt19937 random(seed);
  std::geometric_distribution<int> accepted(1 / (1 + mean_accepted));
  int drafted = 0;
  for (int i = 0; i < cycles; ++i) {
    if (!pace.drafts()) {
      pace.rested();
      continue;
    }
    ++drafted;
    pace.drafted({std::min(accepted(random), 4) * 1.0, draft_ms});
  }
  return static_cast<double>(drafted) / cycles;
}

TEST(Pace, AUselessDrafterIsTriedSeldom) {
  EXPECT_LT(share_drafted(Pace(), 400, 0.01, 0.2, 1), 0.1);
  EXPECT_LT(share_drafted(Pace({0.01, 0.2}), 400, 0.01, 0.2, 1), 0.08);
}

TEST(Pace, AUsefulOneHardlyRests) {
  double sum = 0;
  for (unsigned seed = 0; seed < 50; ++seed) sum += share_drafted(Pace(), 300, 0.9, 0.5, seed);
  EXPECT_GT(sum / 50, 0.9);
}

TEST(Pace, ANewRequestRestsFirstWhereOthersLose) {
  Pace pace({0.1, 0.2});
  int rests = 0;
  for (; !pace.drafts(); ++rests) pace.rested();
  EXPECT_GE(rests, 32);
  EXPECT_LE(rests, 128);
  // It is then judged by its own drafts.
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(pace.drafts());
    pace.drafted({1, 0.2});
  }
  EXPECT_TRUE(Pace({0.2, 0.1}).drafts());
  EXPECT_TRUE(Pace().drafts());
}

TEST(Pace, RestsLongerTheMoreOthersLose) {
  const auto rests = [](DraftGain usual) {
    Pace pace(usual);
    int count = 0;
    for (; !pace.drafts(); ++count) pace.rested();
    return count;
  };
  EXPECT_LT(rests({0.19, 0.2}), rests({0.1, 0.2}));
  EXPECT_EQ(rests({0, 0.2}), 256);
}

// Slots pay while their survival is worth more than their row, and blocks while that pays for the
// draft.
TEST(UsualDrafts, WhatTheyGainFollowsTheLoad) {
  UsualDrafts usual;
  const auto free_rows = [](int) { return 2.0; };
  const auto dear_rows = [](int rows) { return 2.0 * rows; };
  EXPECT_EQ(usual.gain(free_rows, 1, 0, 0.5).spent_ms, 0);  // nothing is known
  for (int i = 0; i < 300; ++i) usual.take_in(std::vector<double>{0.9, i % 2 == 0 ? 0.8 : 0.1});
  DraftGain gain = usual.gain(free_rows, 1, 0, 0.5);
  EXPECT_NEAR(gain.saved_ms, 2 * (0.9 + 0.45), 0.02);
  EXPECT_NEAR(gain.spent_ms, 0.5, 1e-9);
  gain = usual.gain(dear_rows, 8, 0, 0.5);  // no row is worth its time
  EXPECT_EQ(gain.saved_ms, 0);
  EXPECT_EQ(gain.spent_ms, 0.5);
  // At 0.85 of a token a row the surest slots pay, the others do not.
  const auto sloping = [](int rows) { return rows <= 8 ? 8.0 : 8 + 0.85 * (rows - 8); };
  gain = usual.gain(sloping, 8, 0, 0);
  EXPECT_NEAR(gain.saved_ms, 0.9, 1e-6);
  EXPECT_NEAR(gain.spent_ms, 0.85, 1e-6);
  // Beside a prompt's rows they are as dear, and what they save is a part of the step without it.
  gain = usual.gain(sloping, 8, 100, 0);
  EXPECT_NEAR(gain.saved_ms, 0.9, 1e-6);
}

TEST(UsualDrafts, RequestsAreToTryAgainOnlyWhereItPaysAnew) {
  Prospect prospect;
  const int turns = prospect.turns();
  prospect.see({1, 0.5});
  EXPECT_EQ(prospect.turns(), turns);  // it never did not
  prospect.see({0.4, 0.5});
  prospect.see({0.51, 0.5});
  EXPECT_EQ(prospect.turns(), turns);  // too little to tell
  prospect.see({0.6, 0.5});
  EXPECT_EQ(prospect.turns(), turns + 1);
  prospect.see({0.51, 0.5});
  prospect.see({0.6, 0.5});
  EXPECT_EQ(prospect.turns(), turns + 1);
}

TEST(Pace, NoticesWhenDraftingPaysAgain) {
  Pace pace;
  for (int i = 0; i < 2000; ++i) pace.drafts() ? pace.drafted({0, 0.3}) : pace.rested();
  int until = 0;
  for (; until < 2000; ++until) {
    if (!pace.drafts())
      pace.rested();
    else
      pace.drafted({1.5, 0.3});
    if (until > 300 && pace.drafts()) break;
  }
  EXPECT_LT(until, 310);  // the longest rest is 256 cycles
}

// One slot more than is verified is drafted; more at once where that one was verified, fewer only
// after some cycles.
TEST(DraftLength, FollowsWhatIsVerified) {
  DraftLength length;
  EXPECT_EQ(length.next(7), 7);
  length.observe(7, 2);
  EXPECT_EQ(length.next(7), 7);
  for (int i = 0; i < 40; ++i) length.observe(length.next(7), 2);
  EXPECT_EQ(length.next(7), 3);
  length.observe(3, 3);
  EXPECT_EQ(length.next(7), 6);
  for (int i = 0; i < 40; ++i) length.observe(length.next(7), i % 3 == 0 ? 5 : 0);
  EXPECT_EQ(length.next(7), 6);
  for (int i = 0; i < 40; ++i) length.observe(length.next(7), 0);
  EXPECT_EQ(length.next(7), 1);
  length.observe(1, 1);
  EXPECT_EQ(length.next(7), 2);
  length.observe(0, 0);  // a cycle without drafts says nothing
  EXPECT_EQ(length.next(7), 2);
  EXPECT_EQ(length.next(1), 1);
}

}  // namespace
}  // namespace dspark::verify

// Survival, calibration and metrics beyond what the fixtures cover: edges and errors.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "verify/verify.h"

namespace dspark::verify {
namespace {

struct Survived {
  std::vector<double> confidence, survival;
};

Survived survived(const std::vector<float>& logits, const Calibration& calibration) {
  Survived s{std::vector<double>(logits.size()), std::vector<double>(logits.size())};
  survival(logits, {}, calibration, s.confidence, s.survival);
  return s;
}

TEST(Survival, IsTheProductOfCalibratedConfidences) {
  const Survived s = survived({0, 2, -1}, {{1, 2}});
  EXPECT_DOUBLE_EQ(s.confidence[0], 0.5);
  EXPECT_NEAR(s.confidence[1], 1 / (1 + std::exp(-1.0)), 1e-15);
  EXPECT_NEAR(s.confidence[2], 1 / (1 + std::exp(1.0)), 1e-15);  // beyond the temperatures: 1
  EXPECT_NEAR(s.survival[2], s.confidence[0] * s.confidence[1] * s.confidence[2], 1e-15);
}

TEST(Survival, OfExtremeLogits) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Survived s = survived({1e30f, infinity, 800, -3e38f, 1}, {{0.05, 1, 5}});
  EXPECT_EQ(s.survival[2], 1);
  EXPECT_EQ(s.survival[3], 0);
  EXPECT_EQ(s.survival[4], 0);
  const Survived nan = survived({3, std::nanf(""), 3}, {});
  EXPECT_GT(nan.survival[0], 0.9);
  EXPECT_EQ(nan.survival[1], 0);
  EXPECT_EQ(nan.survival[2], 0);
}

TEST(Calibration, Validate) {
  EXPECT_TRUE(validate(Calibration{}).ok());
  EXPECT_TRUE(validate(Calibration{{0.05, 5}}).ok());
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    EXPECT_NE(validate(Calibration{{1, bad}}).message().find("slot 1"), std::string::npos);
}

// Cycles whose drafts stand with probability sigmoid(logit / truth).
std::vector<ObservedCycle> simulated(double truth, std::vector<std::vector<float>>& logits,
                                     int cycles, int slots) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(1, 3);
  std::uniform_real_distribution<double> uniform;
  std::vector<ObservedCycle> observed;
  logits.assign(static_cast<size_t>(cycles), {});
  for (auto& row : logits) {
    for (int k = 0; k < slots; ++k) row.push_back(normal(random));
    int accepted = 0;
    while (accepted < slots &&
           uniform(random) <
               1 / (1 + std::exp(-double{row[static_cast<size_t>(accepted)]} / truth)))
      ++accepted;
    observed.push_back({row, slots, accepted});
  }
  return observed;
}

TEST(Calibration, FindsTheTemperatureThatMadeTheOutcomes) {
  for (const double truth : {0.5, 1.0, 2.0, 3.5}) {
    std::vector<std::vector<float>> logits;
    const auto cycles = simulated(truth, logits, 20000, 3);
    const auto fit = fit_calibration(cycles, 3);
    ASSERT_TRUE(fit.ok());
    EXPECT_NEAR(fit.value().calibration.temperatures[0], truth, 0.2 * truth);
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_LE(fit.value().ece_after[k], fit.value().ece_before[k] + 0.01);
      EXPECT_LT(fit.value().ece_after[k], 0.02) << truth;
    }
  }
}

TEST(Calibration, CountsOnlyTheSlotsConsidered) {
  // What lies behind an accepted stop says nothing, whatever its logits are.
  std::vector<std::vector<float>> logits;
  auto cycles = simulated(2, logits, 3000, 2);
  const auto whole = fit_calibration(cycles, 2).take();
  std::vector<std::vector<float>> wild(500, {0.5f, 40.0f});
  std::vector<ObservedCycle> with = cycles;
  for (const auto& row : wild) with.push_back({row, 1, 1});
  const auto fit = fit_calibration(with, 2).take();
  EXPECT_NE(fit.ece_before[0], whole.ece_before[0]);
  EXPECT_EQ(fit.ece_before[1], whole.ece_before[1]);
}

TEST(Calibration, NamedErrors) {
  const std::vector<float> row{1, 2}, bad{1, std::nanf("")};
  const auto error = [](std::vector<ObservedCycle> cycles) {
    const auto fit = fit_calibration(cycles, 2);
    return fit.ok() ? std::string() : fit.message();
  };
  EXPECT_NE(error({}).find("no cycle came to slot 0"), std::string::npos);
  EXPECT_NE(error({{row, 1, 1}}).find("slot 1"), std::string::npos);
  EXPECT_NE(error({{std::span(row).first(1), 1, 1}}).find("expected 2"), std::string::npos);
  EXPECT_NE(error({{row, 2, 1}, {row, 1, 2}}).find("cycle 1"), std::string::npos);
  EXPECT_NE(error({{row, 3, 1}}).find("3 considered"), std::string::npos);
  EXPECT_NE(error({{bad, 2, 2}}).find("nan"), std::string::npos);
  EXPECT_EQ(error({{row, 2, 1}}), "");
}

TEST(Metrics, OfVerdicts) {
  AcceptanceMetrics metrics;
  metrics.add(4, Verdict{2, 9, false});
  metrics.add(4, Verdict{2, -1, true});  // a stop: the two drafts behind it were not proposed
  metrics.add(0, Verdict{0, 9, true});
  EXPECT_EQ(metrics.cycles(), 3);
  EXPECT_DOUBLE_EQ(metrics.accept_length(), (3 + 2 + 1) / 3.0);
  EXPECT_DOUBLE_EQ(metrics.proposed_length(), (4 + 2 + 0) / 3.0);
  EXPECT_DOUBLE_EQ(metrics.verify_rate(), 6 / 9.0);
  EXPECT_DOUBLE_EQ(*metrics.accept_rate(1), 1);
  EXPECT_DOUBLE_EQ(*metrics.accept_rate(2), 0);
  EXPECT_FALSE(metrics.accept_rate(4).has_value());
}

TEST(Metrics, OfNothing) {
  const ConfidenceMetrics none(2);
  EXPECT_EQ(none.summary().count, 0);
  EXPECT_FALSE(none.summary().ece || none.summary().auc || none.at(1).brier);
  EXPECT_TRUE(none.reliability(0).empty());
  ConfidenceMetrics one(2);
  one.add(std::vector<double>{1.0, 0.0}, 2, 1);  // clamped into the last and the first bin
  EXPECT_EQ(one.reliability(0)[0].bin, 19);
  EXPECT_EQ(one.reliability(1)[0].bin, 0);
  EXPECT_NEAR(*one.summary().ece, 1e-8, 1e-12);
}

}  // namespace
}  // namespace dspark::verify

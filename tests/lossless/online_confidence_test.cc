// Confidences learned while requests run: true after a while, left alone where they are true.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "verify/verify.h"

namespace dspark::verify {
namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// A drafter of three slots: slot k is accepted with chance logistic(a[k] + b * certainty + own),
// certainty drawn anew, own being a request's.
struct Drafts {
  double a[3] = {0.8, -0.2, -0.9};
  double b = 0.6;
  std::mt19937_64 random{7};

  double uniform() { return std::uniform_real_distribution<double>(0, 1)(random); }
  double normal() { return std::normal_distribution<double>(0, 1)(random); }

  // Blocks of one request; the mean absolute error of the last half's confidences.
  double request(OnlineConfidence& online, int blocks, double own) {
    RequestBias bias;
    double error = 0;
    int counted = 0;
    for (int i = 0; i < blocks; ++i)
      for (int k = 0; k < 3; ++k) {
        const double certainty = std::fabs(2 * normal());
        const double truth = logistic(a[k] + b * certainty + own);
        const double p = online.confidence(k, certainty, bias);
        if (i >= blocks / 2) error += std::fabs(p - truth), ++counted;
        const bool accepted = uniform() < truth;
        online.observe(k, certainty, bias, accepted);
        if (!accepted) break;
      }
    return error / counted;
  }
};

TEST(OnlineConfidence, LearnsWhatCertaintiesAreWorth) {
  Drafts drafts;
  OnlineConfidence online(3, OnlineConfidence::Signal::kCertainty);
  EXPECT_TRUE(online.learns());
  EXPECT_EQ(online.ece(), 0);
  for (int i = 0; i < 40; ++i) drafts.request(online, 100, 0);
  double error = 0;
  for (int i = 0; i < 20; ++i) error += drafts.request(online, 100, 0) / 20;
  EXPECT_LT(error, 0.06);
  // A fixed chance for each slot would be off by more than twice that.
  EXPECT_LT(online.ece(), 0.03);
  EXPECT_GT(online.observations(), 6000);
}

TEST(OnlineConfidence, ARequestsOwnHistoryCounts) {
  Drafts drafts;
  OnlineConfidence online(3, OnlineConfidence::Signal::kCertainty);
  for (int i = 0; i < 60; ++i) drafts.request(online, 100, drafts.normal());
  double error = 0;
  for (int i = 0; i < 30; ++i) error += drafts.request(online, 100, i % 2 == 0 ? 1.5 : -1.5) / 30;
  EXPECT_LT(error, 0.12);  // without a bias of its own the error is above 0.2
}

TEST(OnlineConfidence, FollowsAChange) {
  Drafts drafts;
  OnlineConfidence online(3, OnlineConfidence::Signal::kCertainty);
  for (int i = 0; i < 40; ++i) drafts.request(online, 100, 0);
  for (double& a : drafts.a) a -= 1.5;
  for (int i = 0; i < 10; ++i) drafts.request(online, 100, 0);
  double error = 0;
  for (int i = 0; i < 20; ++i) error += drafts.request(online, 100, 0) / 20;
  EXPECT_LT(error, 0.08);
}

TEST(OnlineConfidence, CalibratedOnesStayAsTheyAreUntilTheyAreNotTrue) {
  std::mt19937_64 random(3);
  const auto run = [&](OnlineConfidence& online, int slots, double shift) {
    RequestBias bias;
    for (int i = 0; i < slots; ++i) {
      if (i % 50 == 0) bias = {};
      const double signal = std::normal_distribution<double>(0.5, 1.5)(random);
      const double p = online.confidence(0, signal, bias);
      if (!online.learns()) {
        EXPECT_DOUBLE_EQ(p, 1 / (1 + real_exp(-signal)));
      }
      const bool accepted =
          std::uniform_real_distribution<double>(0, 1)(random) < logistic(signal + shift);
      online.observe(0, signal, bias, accepted);
      if (online.learns()) return i + 1;
    }
    return slots;
  };
  OnlineConfidence online(1, OnlineConfidence::Signal::kCalibrated);
  EXPECT_EQ(run(online, 200000, 0), 200000);  // no false alarm
  EXPECT_LT(online.ece(), 0.02);
  EXPECT_LT(run(online, 5000, -0.8), 500);  // noticed
  EXPECT_TRUE(online.learns());
  RequestBias none;
  for (int i = 0; i < 4000; ++i) {
    const double signal = std::normal_distribution<double>(0.5, 1.5)(random);
    online.observe(0, signal, none,
                   std::uniform_real_distribution<double>(0, 1)(random) < logistic(signal - 0.8));
  }
  for (const double signal : {-1.0, 0.5, 2.0})
    EXPECT_NEAR(online.confidence(0, signal, {}), logistic(signal - 0.8), 0.08) << signal;
}

TEST(OnlineConfidence, ACalibratedOneOfGreedyDraftsKnowsItsRequest) {
  // Signals are true on average; of two requests that run side by side one does better, one worse.
  using Signal = OnlineConfidence::Signal;
  std::mt19937_64 random(5);
  const auto error_of = [&](Signal kind) {
    OnlineConfidence online(1, kind);
    double error = 0;
    std::array<RequestBias, 2> biases;
    for (int i = 0; i < 4000; ++i) {
      if (i % 200 == 0) biases = {};
      RequestBias& bias = biases[static_cast<size_t>(i % 2)];
      const double signal = std::normal_distribution<double>(0, 1.5)(random);
      const double truth = logistic(signal + (i % 2 == 0 ? 1.5 : -1.5));
      if (i % 200 >= 100) error += std::fabs(online.confidence(0, signal, bias) - truth) / 2000;
      online.observe(0, signal, bias, std::uniform_real_distribution<double>(0, 1)(random) < truth);
    }
    EXPECT_FALSE(online.learns());
    return error;
  };
  EXPECT_GT(error_of(Signal::kCalibrated), 0.2);
  EXPECT_LT(error_of(Signal::kPersonal), 0.08);
}

TEST(OnlineConfidence, ASlotNobodyLooksAtIsTriedAgain) {
  OnlineConfidence online(1, OnlineConfidence::Signal::kCertainty);
  RequestBias bias;
  for (int i = 0; i < 300; ++i) online.observe(0, 1, bias, false);
  int fair = 0;
  for (int i = 0; i < 650; ++i) fair += online.confidence(0, 1, bias) >= 0.5 ? 1 : 0;
  EXPECT_EQ(fair, 10);  // nothing was learned from them, so they come at a steady pace
}

TEST(OnlineConfidence, WhatIsNotANumberHasNoChance) {
  OnlineConfidence online(1, OnlineConfidence::Signal::kRaw);
  RequestBias bias;
  for (const double signal : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    EXPECT_EQ(online.confidence(0, signal, bias), 0);
    online.observe(0, signal, bias, true);
  }
  EXPECT_EQ(online.observations(), 0);
  for (int i = 0; i < 10000; ++i) online.observe(0, 700, bias, i % 2 == 0);
  EXPECT_TRUE(std::isfinite(online.confidence(0, 700, bias)));
  EXPECT_TRUE(std::isfinite(bias.log_odds));
}

}  // namespace
}  // namespace dspark::verify

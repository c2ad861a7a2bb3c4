// What is read from a row without drawing: the largest logit, and logarithms of probabilities.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/logit_rows.h"
#include "sample/sample.h"

namespace dspark::sample {
namespace {

TEST(Argmax, IsTheFirstLargest) {
  for (int vocab : {1, 2, 7, 15, 16, 17, 1023, 1024, 1025, 5000}) {
    for (uint32_t seed = 0; seed < 50; ++seed) {
      std::vector<float> row = random_row(seed, vocab, 3);
      for (float& logit : row) logit = std::round(logit);  // many ties
      EXPECT_EQ(argmax(row), std::max_element(row.begin(), row.end()) - row.begin());
    }
  }
  EXPECT_EQ(argmax(std::vector<float>{-kInfinity, -3e38f, -kInfinity}), 1);
  EXPECT_EQ(argmax(std::vector<float>{-0.0f, 0.0f}), 0);
}

TEST(Argmax, RefusesWhatHasNoLargest) {
  EXPECT_EQ(argmax(std::vector<float>{}), -1);
  for (int vocab : {1, 5, 16, 40, 3000}) {
    EXPECT_EQ(argmax(std::vector<float>(static_cast<size_t>(vocab), -kInfinity)), -1);
    for (float bad : {kNan, kInfinity})
      for (int place : {0, vocab / 2, vocab - 1}) {
        std::vector<float> row = random_row(1, vocab, 1);
        row[static_cast<size_t>(place)] = bad;
        EXPECT_EQ(argmax(row), -1) << vocab << " " << place;
      }
  }
}

TEST(Logprobs, LogSumExp) {
  for (int vocab : {1, 2, 3, 4, 5, 17, 1000, 49152})
    for (float deviation : {0.0f, 1.0f, 5.0f, 40.0f}) {
      std::vector<float> row = random_row(static_cast<uint32_t>(vocab), vocab, deviation);
      row[0] = deviation == 1.0f && vocab > 1 ? -kInfinity : row[0];
      const long double largest = *std::max_element(row.begin(), row.end());
      long double sum = 0;
      for (float logit : row) sum += expl(logit - largest);
      EXPECT_NEAR(log_sum_exp(row), static_cast<double>(largest + logl(sum)), 3e-7)
          << vocab << " " << deviation;
    }
  EXPECT_TRUE(std::isnan(log_sum_exp(std::vector<float>{1, kNan})));
  EXPECT_NEAR(log_sum_exp(std::vector<float>{3e38f, -3e38f}), 3e38f, 1e32);
}

TEST(Logprobs, TheMostLikelyTokens) {
  for (int vocab : {1, 5, 300, 49152})
    for (int n : {0, 1, 5, 20}) {
      std::vector<float> row = random_row(static_cast<uint32_t>(vocab + n), vocab, 3);
      for (float& logit : row) logit = std::round(logit * 4) / 4;
      const int32_t chosen = vocab / 2;
      const std::vector<TokenLogprob> top = top_logprobs(row, chosen, n);
      const std::vector<int32_t> order = by_likelihood(row);
      const double total = log_sum_exp(row);
      ASSERT_EQ(top.size(), 1 + static_cast<size_t>(std::min(n, vocab)));
      for (size_t i = 0; i < top.size(); ++i) {
        const int32_t expected = i == 0 ? chosen : order[i - 1];
        EXPECT_EQ(top[i].id, expected);
        EXPECT_EQ(top[i].logprob, static_cast<float>(row[static_cast<size_t>(top[i].id)] - total));
      }
    }
}

}  // namespace
}  // namespace dspark::sample

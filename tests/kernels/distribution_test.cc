// The explicit distribution p, uniform variates and the draw from explicit probabilities.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "sample/sample.h"

namespace dspark::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_row(uint32_t seed, int vocab, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> row(static_cast<size_t>(vocab));
  for (float& logit : row) logit = normal(random);
  return row;
}

std::vector<float> distribution(Sampler& sampler, const std::vector<float>& row) {
  std::vector<float> probs(row.size(), -1);
  const Status status = sampler.distribution(row, probs);
  EXPECT_TRUE(status.ok());
  return probs;
}

TEST(Distribution, IsTheSoftmaxOfTheKept) {
  for (const float temperature : {0.3f, 1.0f, 2.5f})
    for (const int vocab : {1, 3, 4, 37, 1001}) {
      Params p;
      p.temperature = temperature;
      Sampler sampler(p, {}, vocab);
      std::vector<float> row = random_row(7, vocab, 2);
      if (vocab > 3) row[2] = -kInfinity;
      const std::vector<float> probs = distribution(sampler, row);
      double total = 0;
      for (const float logit : row) total += std::exp(double{logit} / double{temperature});
      double sum = 0;
      for (size_t id = 0; id < row.size(); ++id) {
        const double want = std::exp(double{row[id]} / double{temperature}) / total;
        EXPECT_NEAR(probs[id], want, 1e-5 * want);
        sum += double{probs[id]};
      }
      EXPECT_NEAR(sum, 1, 1e-6);
    }
}

TEST(Distribution, IsWhatChooseDrawsFrom) {
  // For every filter: the frequencies of 20,000 draws, each within 5 standard deviations, and no
  // token that the distribution leaves out.
  constexpr int kDraws = 20000, kVocab = 40;
  for (int filters = 0; filters < 16; ++filters) {
    Params p;
    p.temperature = 1.2f;
    p.seed = 5;
    if (filters & 1) p.top_k = 12;
    if (filters & 2) p.top_p = 0.8f;
    if (filters & 4) p.min_p = 0.1f;
    if (filters & 8) {
      p.repeat_penalty = 1.5f;
      p.presence_penalty = 0.5f;
      p.frequency_penalty = 0.3f;
      p.logit_bias = {{1, 2.0f}, {2, -kInfinity}};
    }
    Sampler sampler(p, std::vector<int32_t>{4, 5}, kVocab);
    sampler.push(6);
    sampler.push(6);
    const std::vector<float> row = random_row(static_cast<uint32_t>(filters), kVocab, 1.5f);
    const std::vector<float> probs = distribution(sampler, row);
    std::vector<int> counts(kVocab, 0);
    for (int position = 0; position < kDraws; ++position)
      ++counts[static_cast<size_t>(sampler.choose(row, position).take())];
    size_t kept = 0;
    for (size_t id = 0; id < kVocab; ++id) {
      kept += probs[id] > 0;
      const double want = double{probs[id]} * kDraws;
      EXPECT_LE(std::fabs(counts[id] - want), 5 * std::sqrt(want) + 1e-9)
          << "filters " << filters << " token " << id;
    }
    EXPECT_TRUE(filters % 8 == 0 || kept < kVocab - 1);
    if (filters & 1) {
      EXPECT_LE(kept, 12u);
    }
  }
}

TEST(Distribution, OneTokenAtTemperatureZeroAndTopOne) {
  const std::vector<float> row{0, 3, 3, 1};
  for (const bool greedy : {true, false}) {
    Params p;
    p.temperature = greedy ? 0 : 1;
    p.top_k = greedy ? 0 : 1;
    Sampler sampler(p, {}, 4);
    EXPECT_EQ(distribution(sampler, row), (std::vector<float>{0, 1, 0, 0}));
  }
}

TEST(Distribution, ErrorsAsChoose) {
  Params p;
  p.temperature = 1;
  Sampler sampler(p, {}, 2);
  std::vector<float> probs(2);
  for (const std::vector<float>& row :
       {std::vector<float>{0, std::nanf("")}, std::vector<float>{-kInfinity, -kInfinity}}) {
    const Status status = sampler.distribution(row, probs);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.message(), sampler.choose(row, 0).message());
  }
}

TEST(Uniform, IsUniformAndIndependentAlongEveryPartOfItsKey) {
  // Kolmogorov-Smirnov at its 0.1 % point, and the correlation of neighbours within 4 deviations.
  constexpr int kDraws = 100000;
  for (int varied = 0; varied < 4; ++varied) {
    const auto at = [&](int i) {
      return uniform(varied == 0 ? static_cast<uint64_t>(i) : 3, varied == 1 ? i : 11,
                     varied >= 2 ? i / (varied - 1) : 2,
                     varied == 3 && i % 2 ? Purpose::kNext : Purpose::kAccept);
    };
    std::vector<double> drawn;
    double product = 0;
    for (int i = 0; i < kDraws; ++i) {
      drawn.push_back(at(i));
      product += (at(i) - 0.5) * (at(i + 1) - 0.5);
    }
    EXPECT_LT(std::fabs(product), 4 * std::sqrt(kDraws) / 12) << "varied " << varied;
    std::sort(drawn.begin(), drawn.end());
    EXPECT_GE(drawn.front(), 0);
    EXPECT_LT(drawn.back(), 1);
    double distance = 0;
    for (int i = 0; i < kDraws; ++i)
      distance = std::max(distance, std::fabs(drawn[static_cast<size_t>(i)] - (i + 0.5) / kDraws));
    EXPECT_LT(distance, 1.95 / std::sqrt(kDraws)) << "varied " << varied;
  }
}

TEST(Uniform, Goldens) {
  // A seed's text under rejection depends on them: they may not change.
  EXPECT_EQ(uniform(0, 0, 0, Purpose::kDraft), 0.31886697131373976);
  EXPECT_EQ(uniform(1, 17, 3, Purpose::kAccept), 0.71825033735810873);
  EXPECT_EQ(uniform(~uint64_t{0}, int64_t{1} << 40, 6, Purpose::kNext), 0.55852097790489252);
}

TEST(DrawFromWeights, IsTheFirstIndexBeyond) {
  const std::vector<float> weights{0, 1, 0, 2, 1, 0};
  EXPECT_EQ(draw(weights, 0), 1);
  EXPECT_EQ(draw(weights, 0.24), 1);
  EXPECT_EQ(draw(weights, 0.25), 3);
  EXPECT_EQ(draw(weights, 0.74), 3);
  EXPECT_EQ(draw(weights, 0.75), 4);
  EXPECT_EQ(draw(weights, 1 - 0x1p-53), 4);
}

TEST(DrawFromWeights, LongRows) {
  // Against plain sums, across blocks, with runs of zeros; the last variate below 1 never falls
  // behind the last weight.
  std::mt19937 random(3);
  for (const size_t n : {255u, 256u, 257u, 5000u}) {
    std::vector<float> weights(n, 0);
    for (size_t i = n / 5; i < n - n / 7; ++i)
      weights[i] = random() % 4 ? 0 : 1e-3f * (random() % 999);
    weights[n / 2] = 1;
    double total = 0;
    for (const float w : weights) total += double{w};
    for (int i = 0; i < 200; ++i) {
      const double variate = i == 0 ? 1 - 0x1p-53 : (random() >> 1) * 0x1p-31;
      const int32_t token = draw(weights, variate);
      ASSERT_GT(weights[static_cast<size_t>(token)], 0);
      double before = 0;
      for (int32_t j = 0; j < token; ++j) before += double{weights[static_cast<size_t>(j)]};
      EXPECT_LE(before, variate * total + 1e-9);
      EXPECT_GE(before + double{weights[static_cast<size_t>(token)]}, variate * total - 1e-9);
    }
  }
}

}  // namespace
}  // namespace dspark::sample

// The sampling noise: fixed bits, the right distribution, no correlation.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "sample/sample.h"

namespace dspark::sample {
namespace {

TEST(Noise, GoldenValues) {
  // Printed by tools/oracle/gumbel.py.
  struct Golden {
    uint64_t seed;
    int64_t position;
    int32_t token;
    double noise;
  };
  for (const Golden& golden : {
           Golden{0u, 0, 0, -0.9448668369942848695},
           Golden{0u, 0, 1, 3.86197352202426879546},
           Golden{0u, 1, 0, 0.17067903973140894116},
           Golden{1u, 0, 0, 2.97614741151967305965},
           Golden{42u, 17, 49151, -1.0369868385974770507},
           Golden{18446744073709551615u, 131071, 151935, -0.4064360490586783964},
           Golden{123456789u, 1099511627776, 2147483647, 2.10634862658125042396},
       })
    EXPECT_DOUBLE_EQ(gumbel(golden.seed, golden.position, golden.token), golden.noise);
}

TEST(Noise, TheSameBitsEverywhere) {
  // The last bits, which a compiler may not change either (no contraction, no library logarithm).
  uint64_t digest = 0;
  for (int i = 0; i < 20000; ++i)
    digest = digest * 0x9e3779b97f4a7c15u +
             std::bit_cast<uint64_t>(gumbel(static_cast<uint64_t>(i % 7), i / 100, i * 37));
  EXPECT_EQ(digest, 9789700783298082908u);
}

TEST(Noise, HasTheGumbelDistribution) {
  // Kolmogorov-Smirnov over tokens, positions and seeds: 1.95 / sqrt(n) is the 0.1 % point; a shift
  // of the distribution by 0.02 would exceed it.
  constexpr int kDraws = 200000;
  for (int varied = 0; varied < 3; ++varied) {
    std::vector<double> noise;
    for (int i = 0; i < kDraws; ++i)
      noise.push_back(gumbel(varied == 0 ? static_cast<uint64_t>(i) : 7, varied == 1 ? i : 3,
                             varied == 2 ? i : 5));
    std::sort(noise.begin(), noise.end());
    EXPECT_LE(noise.back(), kMaxGumbel);
    EXPECT_GE(noise.front(), -3.605);
    double distance = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double cumulative = std::exp(-std::exp(-noise[static_cast<size_t>(i)]));
      distance = std::max({distance, cumulative - double{1} * i / kDraws,
                           double{1} * (i + 1) / kDraws - cumulative});
    }
    EXPECT_LT(distance, 1.95 / std::sqrt(kDraws)) << "varied " << varied;
  }
}

TEST(Noise, NeighboursAreIndependent) {
  // Tokens 0..7 share a hash: pairs of them, and one token at neighbouring positions and seeds,
  // must not be correlated. Noise above the median, as bits: |sum| of n fair signs is below 4
  // sqrt(n) but for 6e-5.
  constexpr int kDraws = 100000;
  const double median = -std::log(std::log(2.0));
  const auto sign = [&](uint64_t seed, int64_t position, int32_t token) {
    return gumbel(seed, position, token) > median ? 1 : -1;
  };
  for (int other = 1; other < 12; ++other) {
    int tokens = 0, positions = 0, seeds = 0;
    for (int i = 0; i < kDraws; ++i) {
      tokens += sign(1, i, 0) * sign(1, i, other);
      positions += sign(1, i, 3) * sign(1, i + other, 3);
      seeds += sign(static_cast<uint64_t>(i), 9, 3) * sign(static_cast<uint64_t>(i + other), 9, 3);
    }
    for (int sum : {tokens, positions, seeds})
      EXPECT_LT(std::abs(sum), 4 * std::sqrt(kDraws)) << "distance " << other;
  }
}

}  // namespace
}  // namespace dspark::sample

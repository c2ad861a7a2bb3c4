// The sampling distribution against plain definitions written here with the C library's logarithms
// where only closeness matters, and with the room's own noise where ids must be equal.
#include "sample/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>
#include <set>

namespace dspark::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_row(uint32_t seed, int vocab, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> row(static_cast<size_t>(vocab));
  for (float& logit : row) logit = normal(random);
  return row;
}

// Tokens by likelihood: larger logit, then smaller id.
std::vector<int32_t> by_likelihood(const std::vector<float>& row) {
  std::vector<int32_t> ids(row.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)];
  });
  return ids;
}

// The filters as their descriptions say, in extended precision.
std::vector<int32_t> plain_kept(const std::vector<float>& row, const Params& p) {
  std::vector<int32_t> kept = by_likelihood(row);
  const long double largest = row[static_cast<size_t>(kept[0])];
  const auto weight = [&](int32_t id) {
    return expl((row[static_cast<size_t>(id)] - largest) / static_cast<long double>(p.temperature));
  };
  if (p.top_k > 0 && static_cast<size_t>(p.top_k) < kept.size())
    kept.resize(static_cast<size_t>(p.top_k));
  if (p.top_p < 1) {
    long double total = 0, mass = 0;
    for (int32_t id : kept) total += weight(id);
    size_t n = 0;
    while (n < kept.size() && mass < p.top_p * total) mass += weight(kept[n++]);
    kept.resize(n);
  }
  std::erase_if(kept, [&](int32_t id) { return weight(id) < p.min_p; });
  return kept;
}

// The draw as its description says: every kept token's score, and the best of them.
int32_t plain_choice(const std::vector<float>& row, const Params& p, int64_t position) {
  std::vector<int32_t> kept = plain_kept(row, p);
  const double largest = row[static_cast<size_t>(kept[0])];
  std::sort(kept.begin(), kept.end());
  int32_t best = -1;
  double best_score = -std::numeric_limits<double>::infinity();
  for (int32_t id : kept) {
    const double scaled = (row[static_cast<size_t>(id)] - largest) / double{p.temperature};
    const double score = scaled + gumbel(p.seed, position, id);
    if (best < 0 || score > best_score) best = id, best_score = score;
  }
  return best;
}

int32_t choice(const std::vector<float>& row, const Params& p, int64_t position) {
  Sampler sampler(p, {}, static_cast<int32_t>(row.size()));
  return sampler.choose(row, position).take();
}

// Upper tail of the chi-square distribution (Wilson and Hilferty's cube root), good to a few per
// cent.
double chi_square_p_value(double statistic, double freedom) {
  const double z =
      (std::cbrt(statistic / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

// Draws at positions 0, 1, ... from the row `drawn` against the exact probabilities of `row`;
// tokens expected fewer than 5 times share a cell. Returns the p-value.
double goodness_of_fit(const std::vector<float>& drawn, const std::vector<float>& row,
                       const Params& p, int draws) {
  const std::vector<int32_t> kept = plain_kept(row, p);
  std::vector<double> expected(row.size(), 0);
  double total = 0;
  for (int32_t id : kept)
    total += expected[static_cast<size_t>(id)] = std::exp(
        (row[static_cast<size_t>(id)] - row[static_cast<size_t>(kept[0])]) / double{p.temperature});
  std::vector<int> counts(row.size(), 0);
  Sampler sampler(p, {}, static_cast<int32_t>(row.size()));
  for (int position = 0; position < draws; ++position)
    ++counts[static_cast<size_t>(sampler.choose(drawn, position).take())];
  double statistic = 0, rare_expected = 0;
  int cells = 0, rare = 0;
  const auto add_cell = [&](double want, double have) {
    statistic += (have - want) * (have - want) / want;
    ++cells;
  };
  for (size_t id = 0; id < row.size(); ++id) {
    const double want = expected[id] / total * draws;
    if (want == 0) {
      EXPECT_EQ(counts[id], 0) << "token " << id << " was filtered out";
    } else if (want < 5) {
      rare_expected += want;
      rare += counts[id];
    } else {
      add_cell(want, counts[id]);
    }
  }
  if (rare_expected >= 5) add_cell(rare_expected, rare);
  return chi_square_p_value(statistic, cells - 1);
}

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

TEST(Choose, ErrorsNameTheToken) {
  Sampler sampler({}, {}, 3);
  EXPECT_NE(sampler.choose(std::vector<float>{0, kNan, 1}, 0).message().find("token 1"),
            std::string::npos);
  EXPECT_NE(sampler.choose(std::vector<float>{0, 1, kInfinity}, 0).message().find("token 2"),
            std::string::npos);
  EXPECT_NE(
      sampler.choose(std::vector<float>(3, -kInfinity), 0).message().find("every token is ruled"),
      std::string::npos);
}

TEST(Choose, EqualsThePlainDefinition) {
  // All filters over rows of every width near the vector widths, flat and peaked.
  int cases = 0;
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](auto... values) {
      const double table[] = {static_cast<double>(values)...};
      return table[random() % sizeof...(values)];
    };
    const int vocab = static_cast<int>(pick(1, 3, 7, 8, 9, 16, 33, 100, 1001, 2048));
    std::vector<float> row =
        random_row(seed, vocab, static_cast<float>(pick(0, 0.1, 1, 3, 10, 100)));
    if (random() % 4 == 0)
      for (float& logit : row) logit = std::round(logit);
    if (random() % 4 == 0)
      for (size_t i = 1; i < row.size(); i += 3) row[i] = -kInfinity;
    Params p;
    p.seed = seed;
    p.temperature = static_cast<float>(pick(1e-6, 0.1, 0.7, 1, 1, 1.5, 30));
    p.top_k = static_cast<int>(pick(0, 0, 1, 2, 5, 40, 5000));
    p.top_p = static_cast<float>(pick(1, 1, 0.95, 0.5, 1e-6));
    p.min_p = static_cast<float>(pick(0, 0, 0.05, 0.5, 1));
    const int64_t position = static_cast<int64_t>(random() % 100000);
    EXPECT_EQ(choice(row, p, position), plain_choice(row, p, position)) << "seed " << seed;
    ++cases;
  }
  // A real vocabulary, where the bounds refuse nearly every token.
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const std::vector<float> row = random_row(seed, 49152, seed % 2 == 0 ? 3.0f : 0.3f);
    Params p;
    p.seed = seed;
    p.temperature = 0.5f + 0.01f * static_cast<float>(seed);
    EXPECT_EQ(choice(row, p, seed), plain_choice(row, p, seed)) << "seed " << seed;
    ++cases;
  }
  EXPECT_EQ(cases, 3200);
}

TEST(Choose, ExtremeTemperaturesAndLogits) {
  const std::vector<float> row{1, 3e38f, -3e38f, 3e38f, -kInfinity};
  for (float temperature : {1e-45f, 1e-38f, 1e-10f, 1.0f, 1e6f})
    for (float top_p : {1.0f, 0.5f}) {
      Params p;
      p.temperature = temperature;
      p.top_p = top_p;
      for (int64_t position = 0; position < 50; ++position)
        EXPECT_EQ(choice(row, p, position), plain_choice(row, p, position))
            << temperature << " " << top_p;
    }
}

TEST(Choose, PrintsItsTime) {
  // Over a real vocabulary; a step of the default model takes about 2 ms.
  const std::vector<float> row = random_row(1, 49152, 3);
  struct Case {
    const char* name;
    Params params;
  };
  std::vector<Case> cases(4, Case{"greedy", {}});
  for (size_t i = 1; i < cases.size(); ++i) cases[i].params.temperature = 1;
  cases[1].name = "temperature 1";
  cases[2].name = "temperature 1, top-k 40";
  cases[2].params.top_k = 40;
  cases[3].name = "temperature 1, top-p 0.95";
  cases[3].params.top_p = 0.95f;
  for (const Case& c : cases) {
    Sampler sampler(c.params, {}, 49152);
    double best_us = 1e9;
    for (int64_t position = 0; position < 50; ++position) {
      const auto start = std::chrono::steady_clock::now();
      ASSERT_TRUE(sampler.choose(row, position).ok());
      const std::chrono::duration<double, std::micro> passed =
          std::chrono::steady_clock::now() - start;
      best_us = std::min(best_us, passed.count());
    }
    std::printf("choose over 49152 logits, %s: %.0f us\n", c.name, best_us);
  }
}

TEST(Choose, HasTheRightDistribution) {
  // 200,000 draws each: one token in 50 off by a tenth of its probability would be found with a
  // power above 0.999. The draws are fixed by the seed, so a p-value above 1e-4 once is one for
  // ever.
  std::vector<float> row = random_row(11, 50, 1.5f);
  row[7] = row[9];
  row[20] = -kInfinity;
  Params plain;
  plain.seed = 12345;
  plain.temperature = 1;
  EXPECT_GT(goodness_of_fit(row, row, plain, 200000), 1e-4);
  Params cold = plain;
  cold.temperature = 0.6f;
  EXPECT_GT(goodness_of_fit(row, row, cold, 200000), 1e-4);
  Params top_k = plain;
  top_k.top_k = 10;
  EXPECT_GT(goodness_of_fit(row, row, top_k, 200000), 1e-4);
  Params top_p = plain;
  top_p.top_p = 0.8f;
  EXPECT_GT(goodness_of_fit(row, row, top_p, 200000), 1e-4);
  Params min_p = plain;
  min_p.min_p = 0.1f;
  EXPECT_GT(goodness_of_fit(row, row, min_p, 200000), 1e-4);
  Params all = plain;
  all.temperature = 1.3f;
  all.top_k = 20;
  all.top_p = 0.9f;
  all.min_p = 0.05f;
  EXPECT_GT(goodness_of_fit(row, row, all, 200000), 1e-4);
}

TEST(Choose, TheGoodnessOfFitTestCanFail) {
  // A row whose likeliest token's logit is 0.1 too high.
  const std::vector<float> row = random_row(11, 50, 1.5f);
  std::vector<float> wrong = row;
  wrong[static_cast<size_t>(by_likelihood(row)[0])] += 0.1f;
  Params p;
  p.temperature = 1;
  EXPECT_GT(goodness_of_fit(row, row, p, 200000), 1e-4);
  EXPECT_LT(goodness_of_fit(row, wrong, p, 200000), 1e-4);
}

TEST(Choose, EdgesOfTheFilters) {
  const std::vector<float> row{0, 5, 5, 1, 5, 2};
  Params p;
  p.temperature = 1;
  const auto drawn = [&] {
    std::set<int32_t> ids;
    for (int64_t position = 0; position < 300; ++position) ids.insert(choice(row, p, position));
    return ids;
  };
  p.top_p = 1e-6f;
  EXPECT_EQ(drawn(), (std::set<int32_t>{1}));  // of equals the smallest id
  p.top_p = 1;
  p.top_k = 1;
  EXPECT_EQ(drawn(), (std::set<int32_t>{1}));
  p.top_k = 2;
  EXPECT_EQ(drawn(), (std::set<int32_t>{1, 2}));
  p.top_k = 0;
  p.min_p = 1;
  EXPECT_EQ(drawn(), (std::set<int32_t>{1, 2, 4}));
  p.min_p = 0;
  p.temperature = 0;
  EXPECT_EQ(drawn(), (std::set<int32_t>{1}));
}

TEST(Choose, DependsOnSeedPositionAndLogitsAlone) {
  const std::vector<float> row = random_row(3, 1000, 2);
  Params p;
  p.temperature = 1;
  p.seed = 42;
  std::vector<int32_t> first, second;
  for (int64_t position = 0; position < 100; ++position) first.push_back(choice(row, p, position));
  Sampler sampler(p, std::vector<int32_t>{1, 2, 3}, 1000);
  for (int64_t position = 99; position >= 0; --position) {
    second.push_back(sampler.choose(row, position).take());
    sampler.push(second.back());
  }
  std::reverse(second.begin(), second.end());
  EXPECT_EQ(first, second);
  p.seed = 43;
  int same = 0;
  for (int64_t position = 0; position < 100; ++position)
    same += choice(row, p, position) == first[static_cast<size_t>(position)];
  EXPECT_LT(same, 20);
}

TEST(Penalties, Repeat) {
  Params p;
  p.repeat_penalty = 2;
  Sampler sampler(p, std::vector<int32_t>{0, 0, 3}, 4);
  EXPECT_EQ(sampler.choose(std::vector<float>{4, 2.5f, 1, 4}, 0).take(), 1);  // 2, 2.5, 1, 2
  sampler.push(1);
  EXPECT_EQ(sampler.choose(std::vector<float>{4, 2.5f, 1, 4}, 0).take(), 0);  // once for two times
  EXPECT_EQ(sampler.choose(std::vector<float>{-1, -1.5f, -1.8f, -1}, 0).take(), 2);
  sampler.push(0);  // in the prompt already
  EXPECT_EQ(sampler.choose(std::vector<float>{4, 2.5f, 1, 3}, 0).take(), 0);
}

TEST(Penalties, PresenceAndFrequencyLookAtGeneratedTokensAlone) {
  Params p;
  p.presence_penalty = 1;
  p.frequency_penalty = 0.5f;
  const std::vector<float> row{3, 2, 0};
  Sampler sampler(p, std::vector<int32_t>{0, 0, 0, 0, 0}, 3);
  EXPECT_EQ(sampler.choose(row, 0).take(), 0);
  sampler.push(0);
  EXPECT_EQ(sampler.choose(row, 0).take(), 1);  // 1.5, 2, 0
  sampler.push(1);
  EXPECT_EQ(sampler.choose(row, 0).take(), 0);  // 1.5, 0.5, 0
  sampler.push(0);
  sampler.push(0);
  EXPECT_EQ(sampler.choose(row, 0).take(), 0);  // 0.5, 0.5, 0: the smaller id
  sampler.push(0);
  EXPECT_EQ(sampler.choose(row, 0).take(), 1);
}

TEST(Penalties, Bias) {
  Params p;
  p.logit_bias = {{2, 5.0f}, {0, -kInfinity}, {2, 1.0f}};
  Sampler sampler(p, {}, 3);
  EXPECT_EQ(sampler.choose(std::vector<float>{9, 4, 0}, 0).take(), 2);  // biases of one id add up
  EXPECT_EQ(sampler.choose(std::vector<float>{9, 7, 0}, 0).take(), 1);
}

TEST(Penalties, PopIsTheInverseOfPush) {
  Params p;
  p.temperature = 1;
  p.repeat_penalty = 1.3f;
  p.presence_penalty = 0.4f;
  p.frequency_penalty = 0.2f;
  const std::vector<float> row = random_row(5, 200, 1);
  Sampler sampler(p, std::vector<int32_t>{4, 8}, 200), straight = sampler;
  std::mt19937 random(1);
  std::vector<int32_t> committed;
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> assumed;
    for (size_t i = 0; i < random() % 8; ++i) {
      assumed.push_back(static_cast<int32_t>(random() % 200));
      sampler.push(assumed.back());
    }
    while (!assumed.empty()) {
      sampler.pop(assumed.back());
      assumed.pop_back();
    }
    const int32_t id = sampler.choose(row, round).take();
    ASSERT_EQ(id, straight.choose(row, round).take());
    sampler.push(id);
    straight.push(id);
  }
}

TEST(Penalties, NamedErrors) {
  const auto message = [](auto change) {
    Params p;
    change(p);
    const Status status = validate(p, 10);
    return status.ok() ? std::string() : status.message();
  };
  EXPECT_EQ(message([](Params&) {}), "");
  for (float bad : {-1.0f, 2e6f, kNan, kInfinity})
    EXPECT_EQ(message([&](Params& p) { p.temperature = bad; }).rfind("temperature", 0), 0u);
  EXPECT_EQ(message([](Params& p) { p.top_k = -1; }).rfind("top-k", 0), 0u);
  for (float bad : {0.0f, 1.5f, kNan})
    EXPECT_EQ(message([&](Params& p) { p.top_p = bad; }).rfind("top-p", 0), 0u);
  for (float bad : {-0.1f, 1.5f, kNan})
    EXPECT_EQ(message([&](Params& p) { p.min_p = bad; }).rfind("min-p", 0), 0u);
  for (float bad : {0.0f, -1.0f, kNan, kInfinity})
    EXPECT_EQ(message([&](Params& p) { p.repeat_penalty = bad; }).rfind("repeat penalty", 0), 0u);
  EXPECT_NE(message([](Params& p) { p.presence_penalty = kNan; }), "");
  EXPECT_NE(message([](Params& p) { p.frequency_penalty = kInfinity; }), "");
  EXPECT_NE(message([](Params& p) {
              p.logit_bias = {{10, 1.0f}};
            }).find("0 to 9"),
            std::string::npos);
  EXPECT_NE(message([](Params& p) { p.logit_bias = {{-1, 1.0f}}; }), "");
  EXPECT_NE(message([](Params& p) { p.logit_bias = {{1, kNan}}; }), "");
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

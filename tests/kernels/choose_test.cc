// The sampling distribution against plain definitions written here with the C library's logarithms
// where only closeness matters, and with the room's own noise where ids must be equal.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <set>
#include <vector>

#include "kernels/logit_rows.h"
#include "sample/sample.h"

namespace dspark::sample {
namespace {

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
  // A real vocabulary, where the bounds refuse nearly every token, and top-p keeps few or most.
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const std::vector<float> row = random_row(seed, 49152, seed % 2 == 0 ? 3.0f : 0.3f);
    Params p;
    p.seed = seed;
    p.temperature = 0.5f + 0.01f * static_cast<float>(seed);
    p.top_k = seed % 8 == 3 ? 20000 : 0;
    p.top_p = seed % 4 < 2 ? 1.0f : 0.1f + 0.0045f * static_cast<float>(seed);
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

}  // namespace
}  // namespace dspark::sample

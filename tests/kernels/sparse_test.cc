// Rows with logits for a few tokens only choose, and are distributed, as the same row with -inf
// everywhere else.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/logit_rows.h"
#include "sample/sample.h"

namespace dspark::sample {
namespace {

struct Sparse {
  std::vector<int32_t> ids;
  std::vector<float> logits, dense;
};

Sparse sparse_row(uint32_t seed, int vocab, int count) {
  std::mt19937 random(seed);
  Sparse row;
  row.dense.assign(static_cast<size_t>(vocab), -kInfinity);
  const std::vector<float> all = random_row(seed, vocab, 3);
  std::vector<int32_t> ids(static_cast<size_t>(vocab));
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), random);
  row.ids.assign(ids.begin(), ids.begin() + count);
  for (const int32_t id : row.ids) {
    // Some equal logits: ties go to the smaller id whatever the order.
    const float logit = std::round(all[static_cast<size_t>(id)] * 4) / 4;
    row.logits.push_back(logit);
    row.dense[static_cast<size_t>(id)] = logit;
  }
  return row;
}

TEST(SparseRows, EqualTheDenseRow) {
  constexpr int kVocab = 600;
  int checked = 0;
  for (int filters = 0; filters < 32; ++filters)
    for (const int count : {1, 2, 16, 64})
      for (uint32_t seed = 1; seed <= 6; ++seed) {
        Params p;
        p.temperature = seed % 3 == 0 ? 0.0f : 0.4f * static_cast<float>(seed);
        p.seed = seed * 17;
        if (filters & 1) p.top_k = 5;
        if (filters & 2) p.top_p = 0.8f;
        if (filters & 4) p.min_p = 0.1f;
        if (filters & 8) p.repeat_penalty = 1.3f, p.presence_penalty = 0.5f;
        if (filters & 16) p.frequency_penalty = 0.4f, p.logit_bias = {{3, 1.5f}, {40, -2.0f}};
        const std::vector<int32_t> prompt{1, 2, 3, 5, 8, 13, 21, 34, 55};
        Sampler sampler(p, prompt, kVocab);
        const Sparse row = sparse_row(seed * 100 + static_cast<uint32_t>(filters), kVocab, count);
        sampler.push(row.ids[0]);
        sampler.push(row.ids[0]);
        sampler.push(99);
        for (int64_t position = 0; position < 4; ++position) {
          const auto sparse = sampler.choose(row.ids, row.logits, position);
          const auto dense = sampler.choose(row.dense, position);
          ASSERT_TRUE(sparse.ok() && dense.ok());
          ASSERT_EQ(sparse.value(), dense.value()) << filters << " " << count << " " << seed;
          ++checked;
        }
        std::vector<float> probs(row.ids.size()), all(kVocab);
        ASSERT_TRUE(sampler.distribution(row.ids, row.logits, probs).ok());
        ASSERT_TRUE(sampler.distribution(row.dense, all).ok());
        for (size_t i = 0; i < probs.size(); ++i)
          ASSERT_NEAR(probs[i], all[static_cast<size_t>(row.ids[i])], 1e-6) << filters;
      }
  EXPECT_EQ(checked, 32 * 4 * 6 * 4);
}

// A token that is lowered by less than its lead is still chosen, by more it is not.
TEST(SparseRows, TheLeadIsWhatAChoiceCanLose) {
  int compared = 0;
  for (uint32_t seed = 1; seed <= 40; ++seed)
    for (int64_t position = 0; position < 8; ++position) {
      Params p;
      p.temperature = 0.3f * static_cast<float>(1 + seed % 5);
      p.seed = seed;
      Sampler sampler(p, {}, 600);
      Sparse row = sparse_row(seed, 600, 64);
      double lead = -1, dense_lead = -1;
      const int32_t chosen = sampler.choose(row.ids, row.logits, position, &lead).value();
      ASSERT_EQ(sampler.choose(row.dense, position, &dense_lead).value(), chosen);
      ASSERT_EQ(lead, dense_lead);
      ASSERT_EQ(sampler.choose(row.ids, row.logits, position).value(), chosen);
      ASSERT_GE(lead, 0);
      if (lead >= kMostLead) continue;
      const auto at =
          static_cast<size_t>(std::find(row.ids.begin(), row.ids.end(), chosen) - row.ids.begin());
      const float logit = row.logits[at];
      row.logits[at] = logit - static_cast<float>(lead * 0.99) * p.temperature;
      ASSERT_EQ(sampler.choose(row.ids, row.logits, position).value(), chosen) << lead;
      row.logits[at] = logit - static_cast<float>(lead * 1.01 + 1e-4) * p.temperature;
      ASSERT_NE(sampler.choose(row.ids, row.logits, position).value(), chosen) << lead;
      ++compared;
    }
  EXPECT_GT(compared, 300);
}

TEST(SparseRows, WithoutARivalTheLeadIsTheMost) {
  double lead = 0;
  Sampler sampler({.temperature = 1}, {}, 10);
  sampler.choose(std::vector<int32_t>{7}, std::vector<float>{2}, 0, &lead).value();
  EXPECT_EQ(lead, kMostLead);
  sampler.choose(std::vector<int32_t>{7, 3}, std::vector<float>{2, -90}, 0, &lead).value();
  EXPECT_EQ(lead, kMostLead);
}

TEST(SparseRows, RefuseWhatIsNoDistribution) {
  Sampler sampler({}, {}, 10);
  const std::vector<int32_t> ids{4, 2};
  EXPECT_FALSE(sampler.choose(ids, std::vector<float>{1, kNan}, 0).ok());
  EXPECT_FALSE(sampler.choose(ids, std::vector<float>{kInfinity, 0}, 0).ok());
  EXPECT_FALSE(sampler.choose(ids, std::vector<float>{-kInfinity, -kInfinity}, 0).ok());
  EXPECT_EQ(sampler.choose(ids, std::vector<float>{1, 1}, 0).value(), 2);
}

}  // namespace
}  // namespace dspark::sample

// Attention over blocks of 64 positions against compute/ref, bit for bit, and ref against softmax.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "kernels/every_isa.h"
#include "tensor/tensor.h"

namespace dspark::compute {
namespace {

using testing::EveryIsa;
using testing::same_bits;

struct Head {
  std::vector<uint16_t> keys, values;
  std::vector<float> queries;
};
Head random_head(int blocks, int64_t dim, int queries, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto cells = static_cast<size_t>(blocks * kAttentionBlock * dim);
  Head head{std::vector<uint16_t>(cells), std::vector<uint16_t>(cells),
            std::vector<float>(static_cast<size_t>(queries * dim))};
  for (auto& v : head.keys) v = f32_to_f16(normal(random));
  for (auto& v : head.values) v = f32_to_f16(normal(random));
  for (auto& v : head.queries) v = normal(random);
  return head;
}

// What a query sees in all: positions [begin, end).
struct Span {
  int begin, end;
};

// Attention of `n` queries. tile: queries given to a call at once.
std::vector<float> attend(const Kernels& kernels, const Head& head, int n, int64_t dim,
                          const std::vector<Span>& seen, int tile) {
  const size_t d = static_cast<size_t>(dim);
  std::vector<float> out(static_cast<size_t>(n) * d), total_values(out.size()),
      part_values(out.size());
  for (int first = 0; first < n; first += tile) {
    const int count = std::min(tile, n - first);
    std::vector<AttentionState> total(static_cast<size_t>(count)), part(total);
    for (int i = 0; i < count; ++i) {
      float* values = &total_values[static_cast<size_t>(first + i) * d];
      std::fill(values, values + dim, 0.0f);
      total[static_cast<size_t>(i)] = {-std::numeric_limits<float>::infinity(), 0, values};
    }
    const int blocks = static_cast<int>(head.keys.size() / d) / kAttentionBlock;
    for (int b = 0; b < blocks; ++b) {
      std::vector<const float*> queries;
      std::vector<int> begins, ends, who;
      for (int i = 0; i < count; ++i) {
        const Span& all = seen[static_cast<size_t>(first + i)];
        const int begin = std::max(all.begin - b * kAttentionBlock, 0);
        const int end = std::min(all.end - b * kAttentionBlock, kAttentionBlock);
        if (begin >= end) continue;
        who.push_back(i);
        begins.push_back(begin);
        ends.push_back(end);
        queries.push_back(&head.queries[static_cast<size_t>(first + i) * d]);
      }
      if (who.empty()) continue;
      for (size_t i = 0; i < who.size(); ++i) part[i] = {0, 0, &part_values[i * d]};
      const size_t cell = static_cast<size_t>(b * kAttentionBlock) * d;
      const bool from_zero =
          std::count(begins.begin(), begins.end(), 0) == static_cast<std::ptrdiff_t>(begins.size());
      kernels.attend_block_f16(queries.data(), static_cast<int>(who.size()), dim, &head.keys[cell],
                               &head.values[cell], from_zero ? nullptr : begins.data(), ends.data(),
                               0.125f, &head.keys[0], part.data());
      for (size_t i = 0, n; i < who.size(); i += n) {  // those beside one another at once
        for (n = 1; i + n < who.size() && who[i + n] == who[i] + static_cast<int>(n);) ++n;
        kernels.attend_merge(&total[static_cast<size_t>(who[i])], &part[i], static_cast<int>(n),
                             dim);
      }
    }
    for (int i = 0; i < count; ++i)
      kernels.attend_finish(total[static_cast<size_t>(i)], dim,
                            &out[static_cast<size_t>(first + i) * d]);
  }
  return out;
}

TEST_P(EveryIsa, AttentionEqualsRefInAnyTiling) {
  for (int64_t dim : {16, 20, 64, 80, 128}) {
    const int n = 13;
    const Head head = random_head(3, dim, n, 11);
    std::vector<Span> seen;
    for (int i = 0; i < n; ++i) seen.push_back({0, i < 8 ? 120 + i : 1 + 17 * (i - 8)});
    const std::vector<float> expected = attend(ref(), head, n, dim, seen, 1);
    for (int tile : {1, 2, 3, 4, 6, 7, 13})
      EXPECT_TRUE(same_bits(attend(k(), head, n, dim, seen, tile), expected))
          << dim << " tile " << tile;
  }
}

// Sliding windows: consecutive queries, and ones that have no position in common. What lies outside
// a window is not even finite.
TEST_P(EveryIsa, WindowedAttentionEqualsRefInAnyTiling) {
  for (int64_t dim : {16, 20, 24, 64, 80, 128})
    for (int window : {1, 5, 16, 40, 64, 100}) {
      const int n = 13;
      Head head = random_head(3, dim, n, 13);
      std::vector<Span> seen;
      for (int i = 0; i < n; ++i) {
        const int end = i < 8 ? 120 + i : 20 + 31 * (i - 8);
        seen.push_back({std::max(end - window, 0), end});
      }
      const std::vector<float> expected = attend(ref(), head, n, dim, seen, 1);
      for (int tile : {1, 2, 3, 4, 6, 7, 13})
        EXPECT_TRUE(same_bits(attend(k(), head, n, dim, seen, tile), expected))
            << dim << " window " << window << " tile " << tile;

      const Span& one = seen[3];
      for (int p = 0; p < 3 * kAttentionBlock; ++p) {
        if (p >= one.begin && p < one.end) continue;
        for (int64_t d = 0; d < dim; ++d) {
          head.values[static_cast<size_t>(p * dim + d)] = 0x7e00;
          head.keys[static_cast<size_t>((p / 16 * dim + d) * 16 + p % 16)] = 0x7e00;
        }
      }
      head.queries.erase(head.queries.begin(), head.queries.begin() + 3 * dim);
      const std::vector<float> alone = attend(k(), head, 1, dim, {one}, 1);
      EXPECT_EQ(0, std::memcmp(alone.data(), &expected[static_cast<size_t>(3 * dim)],
                               alone.size() * sizeof(float)))
          << dim << " window " << window;
    }
}

void expect_softmax(const Span& seen, unsigned seed) {
  const int64_t dim = 64;
  const Head head = random_head(3, dim, 1, seed);
  const std::vector<float> got = attend(*ref_kernels(), head, 1, dim, {seen}, 1);
  std::vector<double> weight(192);
  double total = 0;
  const auto begin = static_cast<size_t>(seen.begin), end = static_cast<size_t>(seen.end);
  for (size_t p = begin; p < end; ++p) {
    double score = 0;
    for (size_t d = 0; d < 64; ++d)
      score += head.queries[d] * f16_to_f32(head.keys[(p / 16) * 64 * 16 + d * 16 + p % 16]);
    total += weight[p] = std::exp(score * 0.125);
  }
  for (size_t d = 0; d < 64; ++d) {
    double value = 0;
    for (size_t p = begin; p < end; ++p) value += weight[p] * f16_to_f32(head.values[p * 64 + d]);
    EXPECT_NEAR(got[d], value / total, 1e-6);
  }
}

TEST(Ref, AttentionIsSoftmax) {
  expect_softmax({0, 150}, 12);
  expect_softmax({37, 150}, 14);
  expect_softmax({64, 65}, 15);
}

}  // namespace
}  // namespace dspark::compute

// Every kernel on every instruction set of this machine against compute/ref, bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "compute/ref/ref.h"
#include "kernels/cases.h"

namespace dspark::compute {
namespace {

using testing::Fill;
using testing::MatmulCase;

class EveryIsa : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& k() const { return *GetParam(); }
  const Kernels& ref() const { return *ref_kernels(); }
};
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsa, ::testing::ValuesIn(all_kernels()),
                         [](const auto& info) { return std::string(info.param->name); });

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

std::vector<float> product(const Kernels& kernels, const MatmulCase& c, const PackedMatrix& matrix,
                           const Activations& x) {
  const int64_t stride = matrix.tiles() * kTileRows;
  std::vector<float> out(static_cast<size_t>(c.rows * stride), -1);
  kernels.matmul(matrix, x.view(), 0, matrix.tiles(), out.data(), stride);
  return out;
}

TEST_P(EveryIsa, MatmulEqualsRef) {
  for (Fill fill : {Fill::kRandom, Fill::kExtremes})
    for (const MatmulCase& c : testing::matmul_cases()) {
      AlignedBuffer storage;
      const PackedMatrix matrix = packed(c, stored_rows(c, fill, 1), storage);
      Activations x(c.rows, c.inputs);
      prepare(ref(), c, inputs(c, fill, 2), x);
      EXPECT_TRUE(same_bits(product(k(), c, matrix, x), product(ref(), c, matrix, x)))
          << dtype_info(c.type).name << " " << c.outputs << " x " << c.inputs << ", " << c.rows
          << " rows";
    }
}

// A row's result does not depend on the rows beside it.
TEST_P(EveryIsa, MatmulRowsAreIndependent) {
  for (DType type : testing::weight_types()) {
    const MatmulCase all{type, 32, 256, 23};
    AlignedBuffer storage;
    const PackedMatrix matrix = packed(all, stored_rows(all, Fill::kRandom, 3), storage);
    const std::vector<float> x = inputs(all, Fill::kRandom, 4);
    Activations together(all.rows, all.inputs), alone(1, all.inputs);
    prepare(k(), all, x, together);
    const std::vector<float> expected = product(k(), all, matrix, together);
    for (int r = 0; r < all.rows; ++r) {
      const MatmulCase one{type, 32, 256, 1};
      prepare(k(), one, {x.begin() + r * 256, x.begin() + (r + 1) * 256}, alone);
      const std::vector<float> got = product(k(), one, matrix, alone);
      EXPECT_EQ(0, std::memcmp(got.data(), expected.data() + r * 32, 32 * sizeof(float)))
          << dtype_info(type).name << " row " << r;
    }
  }
}

// ref itself against double arithmetic on the dequantised weights and the quantised inputs.
TEST(Ref, MatmulIsTheProduct) {
  for (DType type : testing::weight_types()) {
    const MatmulCase c{type, 20, 512, 3};
    AlignedBuffer storage;
    const std::vector<uint8_t> stored = stored_rows(c, Fill::kRandom, 5);
    const PackedMatrix matrix = packed(c, stored, storage);
    const std::vector<float> x = inputs(c, Fill::kRandom, 6);
    Activations a(c.rows, c.inputs);
    prepare(*ref_kernels(), c, x, a);
    const std::vector<float> got = product(*ref_kernels(), c, matrix, a);
    std::vector<float> weights(static_cast<size_t>(c.outputs * c.inputs)), row(512);
    dequantise(type, stored.data(), weights.data(), weights.size());
    for (int64_t o = 0; o < c.outputs; ++o) {
      unpack_row(matrix, o, row.data());
      EXPECT_EQ(0, std::memcmp(row.data(), &weights[static_cast<size_t>(o * c.inputs)],
                               512 * sizeof(float)))
          << dtype_info(type).name << ": unpack_row differs from dequantise, row " << o;
      for (int r = 0; r < c.rows; ++r) {
        double sum = 0, magnitude = 0;
        for (int64_t i = 0; i < c.inputs; ++i) {
          const ActivationGroup& g = *a.group(r, i / 32);
          const double xi = is_float_type(type) ? x[static_cast<size_t>(r * c.inputs + i)]
                                                : double{g.scale} * g.q[i % 32];
          const double term = xi * row[static_cast<size_t>(i)];
          sum += term;
          magnitude += std::fabs(term);
        }
        EXPECT_NEAR(got[static_cast<size_t>(r * 32 + o)], sum, 1e-5 * magnitude + 1e-6)
            << dtype_info(type).name << " output " << o << " row " << r;
      }
    }
  }
}

TEST_P(EveryIsa, QuantiseEqualsRef) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> x(32 * 64);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = normal(random) * std::exp2f(static_cast<float>(i / 32) * 4 - 140);
  for (size_t i = 0; i < 32; ++i) x[i] = 0;
  for (size_t i = 32; i < 64; ++i) x[i] = i == 40 ? 1e-45f : 0;   // the scale underflows
  for (size_t i = 64; i < 96; ++i) x[i] = i % 2 ? 0.5f : 127.0f;  // ties round to even
  std::vector<ActivationGroup> a(64), b(64);
  std::memset(a.data(), 0, a.size() * sizeof a[0]);
  b = a;
  EXPECT_TRUE(k().quantise(x.data(), 64, a.data(), 1));
  EXPECT_TRUE(ref().quantise(x.data(), 64, b.data(), 1));
  EXPECT_TRUE(same_bits(a, b));
  for (float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN()}) {
    x[100] = bad;
    EXPECT_FALSE(k().quantise(x.data(), 64, a.data(), 1));
  }
}

TEST_P(EveryIsa, ElementwiseEqualsRef) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0, 3);
  for (int64_t n : {1, 7, 16, 31, 64, 576, 1000}) {
    std::vector<float> x(static_cast<size_t>(n)), y(x), w(x);
    for (auto* v : {&x, &y, &w})
      for (float& f : *v) f = normal(random);
    x[0] = 200, y[static_cast<size_t>(n - 1)] = -200;
    std::vector<float> a(x), b(x);
    k().rms_norm(x.data(), w.data(), 1e-5f, n, a.data());
    ref().rms_norm(x.data(), w.data(), 1e-5f, n, b.data());
    EXPECT_TRUE(same_bits(a, b)) << "rms_norm " << n;
    k().silu_multiply(x.data(), y.data(), n, a.data());
    ref().silu_multiply(x.data(), y.data(), n, b.data());
    EXPECT_TRUE(same_bits(a, b)) << "silu_multiply " << n;
    EXPECT_EQ(k().dot(x.data(), y.data(), n), ref().dot(x.data(), y.data(), n)) << "dot " << n;
    a = b = x;
    k().add(a.data(), y.data(), n);
    ref().add(b.data(), y.data(), n);
    EXPECT_TRUE(same_bits(a, b)) << "add " << n;
    if (n % 2 == 0) {
      k().rotate(a.data(), y.data(), w.data(), n / 2);
      ref().rotate(b.data(), y.data(), w.data(), n / 2);
      EXPECT_TRUE(same_bits(a, b)) << "rotate " << n;
    }
    std::vector<uint16_t> p(static_cast<size_t>(n)), q(p);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] *= std::exp2f(static_cast<float>(random() % 40) - 25);
    k().narrow(x.data(), n, p.data());
    ref().narrow(x.data(), n, q.data());
    EXPECT_TRUE(same_bits(p, q)) << "narrow " << n;
  }
}

TEST(Ref, ExpIsAccurate) {
  for (float x = -87.3f; x < 88.0f; x += 0.0137f) {
    const double expected = std::exp(static_cast<double>(x));
    EXPECT_NEAR(ref::exp_f32(x) / expected, 1.0, 2e-7) << x;
  }
  EXPECT_EQ(ref::exp_f32(0), 1.0f);
  EXPECT_EQ(ref::exp_f32(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(ref::exp_f32(200), std::numeric_limits<float>::infinity());
}

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

// Attention of `n` queries; query i sees visible[i] positions in all. tile: queries given to a call
// at once.
std::vector<float> attend(const Kernels& kernels, const Head& head, int n, int64_t dim,
                          const std::vector<int>& visible, int tile) {
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
    for (int b = 0;; ++b) {
      std::vector<const float*> queries;
      std::vector<int> here, who;
      for (int i = 0; i < count; ++i) {
        const int left = visible[static_cast<size_t>(first + i)] - b * kAttentionBlock;
        if (left <= 0) continue;
        who.push_back(i);
        here.push_back(std::min(left, kAttentionBlock));
        queries.push_back(&head.queries[static_cast<size_t>(first + i) * d]);
      }
      if (who.empty()) break;
      for (size_t i = 0; i < who.size(); ++i) part[i] = {0, 0, &part_values[i * d]};
      const size_t cell = static_cast<size_t>(b * kAttentionBlock) * d;
      kernels.attend_block_f16(queries.data(), static_cast<int>(who.size()), dim, &head.keys[cell],
                               &head.values[cell], here.data(), 0.125f, &head.keys[0], part.data());
      for (size_t i = 0; i < who.size(); ++i)
        kernels.attend_merge(total[static_cast<size_t>(who[i])], part[i], dim);
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
    std::vector<int> visible;
    for (int i = 0; i < n; ++i) visible.push_back(i < 8 ? 120 + i : 1 + 17 * (i - 8));
    const std::vector<float> expected = attend(ref(), head, n, dim, visible, 1);
    for (int tile : {1, 2, 3, 4, 6, 7, 13})
      EXPECT_TRUE(same_bits(attend(k(), head, n, dim, visible, tile), expected))
          << dim << " tile " << tile;
  }
}

TEST(Ref, AttentionIsSoftmax) {
  const int64_t dim = 64;
  const Head head = random_head(3, dim, 1, 12);
  const std::vector<float> got = attend(*ref_kernels(), head, 1, dim, {150}, 1);
  std::vector<double> weight(150);
  double total = 0;
  for (size_t p = 0; p < 150; ++p) {
    double score = 0;
    for (size_t d = 0; d < 64; ++d)
      score += head.queries[d] * f16_to_f32(head.keys[(p / 16) * 64 * 16 + d * 16 + p % 16]);
    total += weight[p] = std::exp(score * 0.125);
  }
  for (size_t d = 0; d < 64; ++d) {
    double value = 0;
    for (size_t p = 0; p < 150; ++p) value += weight[p] * f16_to_f32(head.values[p * 64 + d]);
    EXPECT_NEAR(got[d], value / total, 1e-6);
  }
}

}  // namespace
}  // namespace dspark::compute

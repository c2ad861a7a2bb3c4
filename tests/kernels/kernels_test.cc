// The matrix products, and the quantisation before them, on every instruction set of this machine
// against compute/ref, bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cases.h"
#include "kernels/every_isa.h"

namespace dspark::compute {
namespace {

using testing::EveryIsa;
using testing::Fill;
using testing::MatmulCase;
using testing::same_bits;

INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsa, ::testing::ValuesIn(all_kernels()),
                         [](const auto& info) { return std::string(info.param->name); });

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

}  // namespace
}  // namespace dspark::compute

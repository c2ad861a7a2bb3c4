// Block formats: dequantisation against the fixture, bit for bit; quantisation within each type's
// bounds.
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "formats/formats.h"
#include "tensor/tensor.h"

namespace dspark {
namespace {

constexpr DType kWeights[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0,
                              DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                              DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

TEST(DTypes, NamesAndSizes) {
  EXPECT_EQ(dtype_from_name("Q4_K"), DType::kQ4_K);
  EXPECT_EQ(dtype_from_name("bf16"), DType::kBF16);
  EXPECT_EQ(dtype_from_name("q4_2"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
  EXPECT_EQ(dtype_bytes(DType::kQ4_1, 64), 40u);
  EXPECT_EQ(dtype_bytes(DType::kQ6_K, 512), 420u);
  EXPECT_EQ(dtype_bytes(DType::kF32, 0), 0u);
  for (const DType type : kWeights) {
    EXPECT_TRUE(dtype_info(type).is_weight);
    EXPECT_EQ(dtype_from_name(dtype_info(type).name), type);
  }
  EXPECT_FALSE(dtype_info(DType::kI32).is_weight);
}

// The type in "random/Q4_K.raw" or "model/Q4_1/blk.0.attn_q.weight/3.raw".
DType type_of_case(const std::string& name) {
  const size_t begin = name.find('/') + 1;
  const auto type = dtype_from_name(name.substr(begin, name.find_first_of("/.", begin) - begin));
  CHECK(type.has_value(), "{}", name);
  return *type;
}

TEST(Dequantise, MatchesTheFixtureBitForBit) {
  const std::string path = DSPARK_SOURCE_DIR "/tests/fixtures/smollm2/dequant.safetensors";
  auto file = formats::Safetensors::open(path);
  ASSERT_TRUE(file.ok()) << file.message();
  int cases = 0;
  for (const TensorView& raw : file->tensors()) {
    if (!raw.name.ends_with(".raw")) continue;
    const std::string name = raw.name.substr(0, raw.name.size() - 4);
    const TensorView* expected = file->find(name + ".f32");
    ASSERT_NE(expected, nullptr) << name;
    const DType type = type_of_case(raw.name);
    const auto n = static_cast<size_t>(expected->values());
    ASSERT_EQ(raw.bytes, dtype_bytes(type, n)) << name;
    std::vector<float> out(n);
    dequantise(type, raw.data, out.data(), n);
    EXPECT_EQ(std::memcmp(out.data(), expected->data, n * sizeof(float)), 0) << name;
    ++cases;
  }
  EXPECT_GE(cases, 20);
}

// Error of a round trip relative to the source: sqrt(sum (x - y)^2 / sum x^2).
double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, total = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
    total += double{x[i]} * x[i];
  }
  return std::sqrt(error / total);
}

std::vector<float> round_trip(DType type, const std::vector<float>& x) {
  std::vector<uint8_t> blocks(dtype_bytes(type, x.size()));
  EXPECT_TRUE(quantise(type, x.data(), blocks.data(), x.size())) << dtype_info(type).name;
  std::vector<float> y(x.size());
  dequantise(type, blocks.data(), y.data(), y.size());
  return y;
}

std::vector<float> normal_values(size_t n, float sigma, uint32_t seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> x(n);
  for (float& value : x) value = normal(bits);
  return x;
}

TEST(Quantise, NormalWeightsKeepTheirValues) {
  struct Bound {
    DType type;
    double relative_error;
  };
  const Bound bounds[] = {
      {DType::kF32, 0},     {DType::kF16, 4e-4},   {DType::kBF16, 3e-3},  {DType::kQ4_0, 0.09},
      {DType::kQ4_1, 0.08}, {DType::kQ5_0, 0.045}, {DType::kQ5_1, 0.04},  {DType::kQ8_0, 0.0065},
      {DType::kQ4_K, 0.08}, {DType::kQ5_K, 0.04},  {DType::kQ6_K, 0.021},
  };
  for (const auto& [type, bound] : bounds) {
    for (const float sigma : {0.02f, 1.0f, 300.0f}) {
      const std::vector<float> x = normal_values(4096, sigma, 7);
      const double error = relative_error(x, round_trip(type, x));
      EXPECT_LE(error, bound) << dtype_info(type).name << " sigma " << sigma;
      EXPECT_GE(error, bound / 3) << dtype_info(type).name;  // the bound is a tight one
    }
  }
}

// The fixture's own quantiser is another one: ours must not be worse than it by more than a tenth.
TEST(Quantise, IsAsGoodAsTheFixtures) {
  const std::string path = DSPARK_SOURCE_DIR "/tests/fixtures/smollm2/dequant.safetensors";
  auto file = formats::Safetensors::open(path);
  ASSERT_TRUE(file.ok()) << file.message();
  for (const DType type : kWeights) {
    std::string name = "random/";
    for (const char c : dtype_info(type).name) name += static_cast<char>(std::toupper(c));
    const TensorView* source = file->find(name + ".src");
    if (source == nullptr) continue;
    const TensorView* theirs = file->find(name + ".f32");
    ASSERT_NE(theirs, nullptr);
    std::vector<float> x(static_cast<size_t>(source->values())), y(x.size());
    std::memcpy(x.data(), source->data, source->bytes);
    std::memcpy(y.data(), theirs->data, theirs->bytes);
    const double ours = relative_error(x, round_trip(type, x));
    EXPECT_LE(ours, 1.1 * relative_error(x, y) + 1e-9) << name;
  }
}

TEST(Quantise, EveryValueIsWithinItsStep) {
  for (const DType type : kWeights) {
    if (!is_quantised(type)) continue;
    const int levels = type == DType::kQ8_0                                                   ? 127
                       : type == DType::kQ6_K                                                 ? 31
                       : type == DType::kQ5_0 || type == DType::kQ5_1 || type == DType::kQ5_K ? 15
                                                                                              : 7;
    const std::vector<float> x = normal_values(2048, 1, 11);
    const std::vector<float> y = round_trip(type, x);
    for (size_t i = 0; i < x.size(); ++i) {
      float largest = 0;  // of the values that may share a scale
      const size_t block = i / 32 * 32;
      for (size_t j = block; j < block + 32; ++j) largest = std::max(largest, std::fabs(x[j]));
      EXPECT_LE(std::fabs(x[i] - y[i]), 1.2f * largest / static_cast<float>(levels))
          << dtype_info(type).name << " value " << i;
    }
  }
}

TEST(Quantise, IsDeterministicAndStableOnSpecialBlocks) {
  std::vector<std::vector<float>> blocks = {
      std::vector<float>(256, 0.0f),    std::vector<float>(256, 1.0f),
      std::vector<float>(256, -3.5f),   std::vector<float>(256, 1e-20f),
      std::vector<float>(256, 3e-8f),   std::vector<float>(256, -1e-6f),
      std::vector<float>(256, 60000.0f)};
  std::vector<float> outlier = normal_values(256, 0.01f, 3);
  outlier[17] = 50;
  blocks.push_back(outlier);
  std::vector<float> denormal(256, std::numeric_limits<float>::denorm_min());
  blocks.push_back(denormal);
  for (const DType type : kWeights) {
    for (size_t b = 0; b < blocks.size(); ++b) {
      std::vector<uint8_t> first(dtype_bytes(type, 256), 0xaa), second(first.size(), 0x55);
      ASSERT_TRUE(quantise(type, blocks[b].data(), first.data(), 256));
      ASSERT_TRUE(quantise(type, blocks[b].data(), second.data(), 256));
      EXPECT_EQ(first, second) << dtype_info(type).name << " block " << b;
      std::vector<float> y(256);
      dequantise(type, first.data(), y.data(), 256);
      float largest = 0;
      for (const float v : blocks[b]) largest = std::max(largest, std::fabs(v));
      for (size_t i = 0; i < 256; ++i) {
        ASSERT_TRUE(std::isfinite(y[i])) << dtype_info(type).name << " block " << b;
        ASSERT_LE(std::fabs(y[i] - blocks[b][i]), 0.2f * largest + 0x1p-24f)
            << dtype_info(type).name << " block " << b;
      }
    }
  }
}

TEST(Quantise, RefusesWhatTheTypeCannotHold) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const DType type : kWeights) {
    std::vector<uint8_t> out(dtype_bytes(type, 256));
    for (const float bad : {infinity, -infinity, nan}) {
      std::vector<float> x(256, 0.5f);
      x[200] = bad;
      EXPECT_FALSE(quantise(type, x.data(), out.data(), x.size())) << dtype_info(type).name << bad;
    }
    std::vector<float> large(256, 0.0f);
    large[3] = 1e38f;
    const bool holds = type == DType::kF32 || type == DType::kBF16;
    EXPECT_EQ(quantise(type, large.data(), out.data(), large.size()), holds)
        << dtype_info(type).name;
    large[3] = std::numeric_limits<float>::max();
    EXPECT_EQ(quantise(type, large.data(), out.data(), large.size()), type == DType::kF32)
        << dtype_info(type).name;
  }
  std::vector<uint8_t> out(34);
  std::vector<float> x(32, 127.0f * 65504.0f);
  EXPECT_TRUE(quantise(DType::kQ8_0, x.data(), out.data(), x.size()));
  x[0] *= 1.01f;
  EXPECT_FALSE(quantise(DType::kQ8_0, x.data(), out.data(), x.size()));
}

TEST(Halves, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const bool f16_nan = (half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0;
    const bool bf16_nan = (half & 0x7f80) == 0x7f80 && (half & 0x7f) != 0;
    ASSERT_TRUE(f16_nan || f32_to_f16(f16_to_f32(half)) == half) << bits;
    ASSERT_TRUE(bf16_nan || f32_to_bf16(bf16_to_f32(half)) == half) << bits;
  }
}

TEST(Halves, NarrowingRoundsToNearestEven) {
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), 0x3c00);
  EXPECT_EQ(f32_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0);
  EXPECT_EQ(f32_to_f16(1.5f * 0x1p-25f), 1);
  EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
}

}  // namespace
}  // namespace dspark

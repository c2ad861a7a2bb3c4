// 16-bit floats by their definition and against the hardware.
#include "tensor/half.h"

#include <cpuid.h>
#include <gtest/gtest.h>
#include <immintrin.h>

#include <bit>
#include <cmath>
#include <limits>

namespace dspark {
namespace {

uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }
bool is_nan(uint16_t half) { return (half & 0x7fffu) > 0x7c00u; }

// A half's value by its definition, exact in double.
double plain_value(uint16_t half) {
  const int exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
  const double magnitude = exponent == 0x1f ? std::numeric_limits<double>::infinity()
                           : exponent == 0  ? std::ldexp(mantissa, -24)
                                            : std::ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, EveryValueWidensExactlyAndComesBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const float wide = f16_to_f32(half);
    if (is_nan(half)) {
      EXPECT_TRUE(std::isnan(wide));
      EXPECT_EQ(f32_to_f16(wide), half | 0x200);  // quiet
    } else {
      EXPECT_EQ(static_cast<double>(wide), plain_value(half));
      EXPECT_EQ(std::signbit(wide), (half & 0x8000) != 0);
      EXPECT_EQ(f32_to_f16(wide), half);
    }
    const float brain = bf16_to_f32(half);
    EXPECT_EQ(bits_of(brain), i << 16);
    EXPECT_EQ(f32_to_bf16(brain), std::isnan(brain) ? half | 0x40u : half);
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  // Around every midpoint of neighbours; beyond the largest value the next one would be 65536.
  for (uint32_t i = 0; i < 0x7c00; ++i) {
    const auto low = static_cast<uint16_t>(i), high = static_cast<uint16_t>(i + 1);
    const double above = i == 0x7bff ? 65536.0 : plain_value(high);
    const auto middle = static_cast<float>((plain_value(low) + above) / 2);  // exact
    const uint16_t even = i % 2 == 0 ? low : high;
    EXPECT_EQ(f32_to_f16(middle), even) << i;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), low) << i;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), high) << i;
    EXPECT_EQ(f32_to_f16(-middle), even | 0x8000) << i;
  }
  for (uint32_t i = 0; i < 0x7f80; ++i) {
    const uint32_t middle = i << 16 | 0x8000;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle)), i + i % 2) << i;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle - 1)), i) << i;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle + 1)), i + 1) << i;
  }
}

__attribute__((target("f16c"))) uint16_t hardware_f32_to_f16(float value) {
  return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}
__attribute__((target("f16c"))) float hardware_f16_to_f32(uint16_t half) { return _cvtsh_ss(half); }

TEST(Half, EqualsTheHardware) {
  unsigned eax = 0, ebx = 0, ecx = 0,
           edx = 0;  // clang 14's __builtin_cpu_supports doesn't know f16c
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_F16C) == 0)
    GTEST_SKIP() << "no f16c";
  for (uint32_t i = 0; i < 65536; ++i)
    EXPECT_EQ(bits_of(f16_to_f32(static_cast<uint16_t>(i))),
              bits_of(hardware_f16_to_f32(static_cast<uint16_t>(i))));
  // Every 331st bit pattern, NaNs included: 13 million.
  uint64_t different = 0;
  for (uint64_t i = 0; i < (uint64_t{1} << 32); i += 331) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(i));
    different += f32_to_f16(value) != hardware_f32_to_f16(value);
  }
  EXPECT_EQ(different, 0u);
}

}  // namespace
}  // namespace dspark

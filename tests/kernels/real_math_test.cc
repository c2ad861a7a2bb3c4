// Real functions against the C library.
#include "base/base.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace dspark {
namespace {

double relative_error(double have, long double want) {
  return static_cast<double>(std::abs((have - want) / want));
}

TEST(RealMath, Exp) {
  std::mt19937_64 random(1);
  double worst = 0;
  for (double reach : {1e-6, 0.5, 2.0, 30.0, 700.0}) {
    std::uniform_real_distribution<double> uniform(-reach, reach);
    for (int i = 0; i < 40000; ++i) {
      const double x = uniform(random);
      worst = std::max(worst, relative_error(real_exp(x), expl(x)));
    }
  }
  EXPECT_LT(worst, 4e-15);
  EXPECT_EQ(real_exp(0.0), 1.0);
  EXPECT_EQ(real_exp(-0.0), 1.0);
  EXPECT_EQ(real_exp(-746.0), 0.0);
  EXPECT_EQ(real_exp(-std::numeric_limits<double>::infinity()), 0.0);
  EXPECT_EQ(real_exp(710.0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(real_exp(std::numeric_limits<double>::infinity()),
            std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(real_exp(std::numeric_limits<double>::quiet_NaN())));
  // Subnormal results: within a unit of their last place.
  for (double x = -745; x < -708.5; x += 0.01)
    EXPECT_NEAR(real_exp(x), std::exp(x), std::exp(x) * 4e-15 + 4.95e-324) << x;
}

TEST(RealMath, Log) {
  std::mt19937_64 random(2);
  double worst = 0;
  for (double reach : {1e-3, 0.3, 10.0, 700.0}) {
    std::uniform_real_distribution<double> uniform(-reach, reach);
    for (int i = 0; i < 40000; ++i) {
      const double x = std::exp(uniform(random));
      if (x != 1.0) worst = std::max(worst, relative_error(real_log(x), logl(x)));
    }
  }
  EXPECT_LT(worst, 4e-15);
  EXPECT_EQ(real_log(1.0), 0.0);
  EXPECT_EQ(real_log(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(real_log(-1.0)));
  EXPECT_TRUE(std::isnan(real_log(std::numeric_limits<double>::quiet_NaN())));
  for (double x : {std::numeric_limits<double>::min(), std::numeric_limits<double>::max(),
                   std::nextafter(1.0, 0.0), std::nextafter(1.0, 2.0)})
    EXPECT_LT(relative_error(real_log(x), logl(x)), 4e-15) << x;
}

TEST(RealMath, SineAndCosine) {
  std::mt19937_64 random(3);
  double worst = 0;
  const auto look_at = [&](double x) {
    double sine, cosine;
    real_sin_cos(x, &sine, &cosine);
    worst = std::max({worst, std::abs(static_cast<double>(sine - sinl(x))),
                      std::abs(static_cast<double>(cosine - cosl(x)))});
  };
  for (double reach : {1e-8, 0.8, 7.0, 1000.0, 1e5}) {
    std::uniform_real_distribution<double> uniform(-reach, reach);
    for (int i = 0; i < 40000; ++i) look_at(uniform(random));
  }
  for (int i = 0; i < 131072; ++i) look_at(i);  // the first frequency of a rotary embedding
  for (int i = -1000; i <= 1000; ++i) look_at(i * 0.78539816339744830962);
  EXPECT_LT(worst, 1.5e-15);
  double sine, cosine;
  real_sin_cos(0, &sine, &cosine);
  EXPECT_EQ(sine, 0.0);
  EXPECT_EQ(cosine, 1.0);
}

TEST(RealMath, TheSameBitsInEveryRoundingThatTheHostSet) {
  // The engine's entry points set round-to-nearest, whatever the host had.
  std::vector<double> plain, under_host_mode;
  const auto fill = [](std::vector<double>& out) {
    for (int i = 1; i < 1000; ++i) {
      double sine, cosine;
      real_sin_cos(i * 0.37, &sine, &cosine);
      out.insert(out.end(), {real_exp(-i * 0.11), real_log(i * 0.13), sine, cosine});
    }
  };
  fill(plain);
  const unsigned host = _mm_getcsr();
  _mm_setcsr(0x1f80 | 0x6000 | 0x8040);  // towards zero, FTZ and DAZ
  {
    const FloatMode mode;
    fill(under_host_mode);
  }
  EXPECT_EQ(_mm_getcsr() & 0xffc0u, 0x1f80u | 0x6000u | 0x8040u);
  _mm_setcsr(host);
  EXPECT_EQ(plain, under_host_mode);
}

}  // namespace
}  // namespace dspark

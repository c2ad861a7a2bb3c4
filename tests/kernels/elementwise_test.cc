// Norms, activations and other kernels over rows against compute/ref, bit for bit, and ref against
// the formulas.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "compute/ref/ref.h"
#include "kernels/every_isa.h"

namespace dspark::compute {
namespace {

using testing::EveryIsa;
using testing::same_bits;

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
    k().gelu_multiply(x.data(), y.data(), n, a.data());
    ref().gelu_multiply(x.data(), y.data(), n, b.data());
    EXPECT_TRUE(same_bits(a, b)) << "gelu_multiply " << n;
    a = b = x;
    k().soft_cap(a.data(), 2.5f, n);
    ref().soft_cap(b.data(), 2.5f, n);
    EXPECT_TRUE(same_bits(a, b)) << "soft_cap " << n;
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

// Extremes of the kernels that end in exp: zeros of both signs, subnormals, saturation, not finite.
TEST_P(EveryIsa, ActivationsAtExtremesEqualRef) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> x{0.0f,    -0.0f,     1e-45f,     -1e-45f,
                       1e-20f,  0.1f,      -0.1f,      9.99f,
                       -10.01f, 40,        -40,        150,
                       -150,    1e20f,     -1e20f,     3e38f,
                       -3e38f,  kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> up(x.size(), 1.5f);
  const auto n = static_cast<int64_t>(x.size());
  const auto same_values = [](const std::vector<float>& a, const std::vector<float>& b) {
    for (size_t i = 0; i < a.size(); ++i)  // the sign of NaN is free
      if (!(std::isnan(a[i]) && std::isnan(b[i])) && std::memcmp(&a[i], &b[i], sizeof a[i]) != 0)
        return false;
    return true;
  };
  std::vector<float> a(x), b(x);
  for (const auto kernel : {&Kernels::silu_multiply, &Kernels::gelu_multiply}) {
    (k().*kernel)(x.data(), up.data(), n, a.data());
    (ref().*kernel)(x.data(), up.data(), n, b.data());
    EXPECT_TRUE(same_values(a, b));
    EXPECT_TRUE(std::isnan(b.back()));
  }
  a = b = x;
  k().soft_cap(a.data(), 30, n);
  ref().soft_cap(b.data(), 30, n);
  EXPECT_TRUE(same_values(a, b));
  EXPECT_TRUE(std::isnan(b.back()));
  EXPECT_EQ(b[static_cast<size_t>(n - 3)], 30.0f);
  EXPECT_EQ(b[static_cast<size_t>(n - 2)], -30.0f);
}

TEST(Ref, TanhIsAccurate) {
  for (float x = -12; x < 12; x += 0.00137f) {
    const double expected = std::tanh(static_cast<double>(x));
    EXPECT_NEAR(ref::tanh_f32(x) / expected, 1.0, 1e-6) << x;
    EXPECT_LE(std::fabs(ref::tanh_f32(x)), 1.0f) << x;
  }
  for (float x = 1e-30f; x < 0.1f; x *= 1.7f) {
    EXPECT_NEAR(ref::tanh_f32(x) / std::tanh(static_cast<double>(x)), 1.0, 1e-6) << x;
    EXPECT_NEAR(ref::tanh_f32(-x) / std::tanh(static_cast<double>(-x)), 1.0, 1e-6) << -x;
  }
  EXPECT_EQ(ref::tanh_f32(0), 0.0f);
}

TEST(Ref, GeluIsTheTanhForm) {
  const float one = 1;
  for (float x = -8; x < 8; x += 0.00137f) {
    float got;
    ref_kernels()->gelu_multiply(&x, &one, 1, &got);
    const double g = x, u = std::sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g);
    const double expected = 0.5 * g * (1 + std::tanh(u));
    EXPECT_NEAR(got, expected, 1e-6 * std::max(std::fabs(expected), 1e-3)) << x;
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

}  // namespace
}  // namespace dspark::compute

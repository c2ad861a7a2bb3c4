#include "base/real_math.h"

#include <bit>
#include <cstdint>
#include <limits>

namespace dspark {
namespace {

constexpr double kLn2High = 6.93147180369123816490e-01;  // 33 bits: n * kLn2High is exact
constexpr double kLn2Low = 1.90821492927058770002e-10;

// pi/2 in pieces of 33 bits: k * piece is exact for |k| < 2^20.
constexpr double kHalfPi1 = 1.57079632673412561417e+00;
constexpr double kHalfPi2 = 6.07710050630396597660e-11;
constexpr double kHalfPi3 = 2.02226624871116645580e-21;
constexpr double kHalfPi3Tail = 8.47842766036889956997e-32;

double power_of_two(int64_t n) {
  return std::bit_cast<double>(static_cast<uint64_t>(n + 1023) << 52);
}

int64_t round_to_integer(double x) { return static_cast<int64_t>(x < 0 ? x - 0.5 : x + 0.5); }

// sum of c[i] x^i
template <int N>
double polynomial(const double (&c)[N], double x) {
  double sum = c[N - 1];
  for (int i = N - 2; i >= 0; --i) sum = sum * x + c[i];
  return sum;
}

}  // namespace

double real_exp(double x) {
  if (x != x) return x;
  if (x > 709.78) return std::numeric_limits<double>::infinity();
  if (x < -745.0) return 0;
  const int64_t n = round_to_integer(x * 1.44269504088896338700);
  const double r = (x - static_cast<double>(n) * kLn2High) - static_cast<double>(n) * kLn2Low;
  static constexpr double kTaylor[] = {1.0,
                                       1.0,
                                       1.0 / 2,
                                       1.0 / 6,
                                       1.0 / 24,
                                       1.0 / 120,
                                       1.0 / 720,
                                       1.0 / 5040,
                                       1.0 / 40320,
                                       1.0 / 362880,
                                       1.0 / 3628800,
                                       1.0 / 39916800,
                                       1.0 / 479001600,
                                       1.0 / 6227020800.0};
  const int64_t half = n / 2;  // in two factors: n may lie beyond the exponent's range
  return polynomial(kTaylor, r) * power_of_two(half) * power_of_two(n - half);
}

double real_log(double x) {
  if (!(x >= 0)) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return -std::numeric_limits<double>::infinity();
  if (x > std::numeric_limits<double>::max()) return x;
  int64_t exponent = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 0x1p54;
    exponent = -54;
  }
  uint64_t bits = std::bit_cast<uint64_t>(x);
  exponent += static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.41421356237309504880) {
    m *= 0.5;
    ++exponent;
  }
  // log m = 2 atanh(f), f = (m - 1)/(m + 1), |f| < 0.1716
  const double f = (m - 1) / (m + 1), s = f * f;
  static constexpr double kAtanh[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
                                      1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  const double tail = 2 * f * s * polynomial(kAtanh, s);
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (2 * f + (tail + e * kLn2Low));
}

void real_sin_cos(double x, double* sine, double* cosine) {
  const int64_t k = round_to_integer(x * 6.36619772367581382433e-01);
  const double n = static_cast<double>(k);
  const double r = ((x - n * kHalfPi1) - n * kHalfPi2) - n * (kHalfPi3 + kHalfPi3Tail);
  const double s = r * r;
  static constexpr double kSine[] = {
      1.0,          -1.0 / 6,        1.0 / 120,          -1.0 / 5040,
      1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800.0, -1.0 / 1307674368000.0};
  static constexpr double kCosine[] = {1.0,
                                       -1.0 / 2,
                                       1.0 / 24,
                                       -1.0 / 720,
                                       1.0 / 40320,
                                       -1.0 / 3628800,
                                       1.0 / 479001600,
                                       -1.0 / 87178291200.0,
                                       1.0 / 20922789888000.0};
  const double sr = r * polynomial(kSine, s), cr = polynomial(kCosine, s);
  switch (k & 3) {
    case 0:
      *sine = sr, *cosine = cr;
      return;
    case 1:
      *sine = cr, *cosine = -sr;
      return;
    case 2:
      *sine = -sr, *cosine = -cr;
      return;
    default:
      *sine = -cr, *cosine = sr;
      return;
  }
}

}  // namespace dspark

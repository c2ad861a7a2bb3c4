#include "compute/ref/ref.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tensor/tensor.h"

namespace dspark::compute {
namespace ref {

namespace {

// x = n ln 2 + r, |r| <= ln 2 / 2.
struct Reduced {
  float r, power;  // power: 2^n
};
Reduced reduce(float x) {
  // n = round(x / ln 2) by adding 1.5 * 2^23: the sum's low bits are n itself.
  const float shifted = std::fma(x, 1.44269504f, 12582912.0f);
  const float n = shifted - 12582912.0f;
  const float r = std::fma(n, -0.693147182464599609375f, x);
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u;
  return {std::fma(n, 1.90465432e-9f, r), std::bit_cast<float>(power)};
}

// (e^r - 1) / r.
float exp_series(float r) {
  float p = 1.0f / 5040;
  p = std::fma(p, r, 1.0f / 720);
  p = std::fma(p, r, 1.0f / 120);
  p = std::fma(p, r, 1.0f / 24);
  p = std::fma(p, r, 1.0f / 6);
  p = std::fma(p, r, 0.5f);
  return std::fma(p, r, 1.0f);
}

}  // namespace

float exp_f32(float x) {
  if (x < -87.33f) return 0;
  if (x > 88.02f) return std::numeric_limits<float>::infinity();
  const Reduced reduced = reduce(x);
  return std::fma(exp_series(reduced.r), reduced.r, 1.0f) * reduced.power;
}

float exp_minus_one_f32(float x) {
  const Reduced reduced = reduce(x);
  return std::fma(reduced.power, reduced.r * exp_series(reduced.r), reduced.power - 1.0f);
}

float tanh_f32(float x) {
  x = x < -10.0f ? -10.0f : x > 10.0f ? 10.0f : x;  // beyond, the result is 1; NaN stays
  const float e = exp_minus_one_f32(x + x);
  return e / (e + 2.0f);
}

float sum_lanes(const float (&lanes)[16]) {
  float tree[16];
  for (int i = 0; i < 16; ++i) tree[i] = lanes[i];
  for (int half = 8; half >= 1; half /= 2)
    for (int i = 0; i < half; ++i) tree[i] = tree[i] + tree[i + half];
  return tree[0];
}

namespace {

bool quantise(const float* x, int64_t groups, ActivationGroup* out, int64_t out_stride) {
  bool finite = true;
  for (int64_t g = 0; g < groups; ++g, x += 32, out += out_stride) {
    uint32_t largest = 0;
    for (int i = 0; i < 32; ++i) {
      const uint32_t magnitude = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu;
      if (magnitude > largest) largest = magnitude;
    }
    finite &= largest < 0x7f800000u;
    const float scale = std::bit_cast<float>(largest) / 127.0f;
    out->scale = scale;
    int sum = 0, sum_low = 0;
    for (int i = 0; i < 32; ++i) {
      int q = 0;
      if (scale > 0 && finite) q = static_cast<int>(std::nearbyintf(x[i] / scale));
      if (q > 127) q = 127;
      if (q < -127) q = -127;
      out->q[i] = static_cast<int8_t>(q);
      sum += q;
      if (i < 16) sum_low += q;
    }
    out->sum = scale * static_cast<float>(sum);
    out->neg_sum = -sum;
    out->neg_sum_low = -sum_low;
  }
  return finite;
}

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  float lanes[16] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i % 16] = std::fma(x[i], x[i], lanes[i % 16]);
  const float mean = sum_lanes(lanes) / static_cast<float>(n);
  const float inverse = 1.0f / std::sqrt(mean + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] * inverse) * weight[i];
}

void rotate(float* x, const float* cosine, const float* sine, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    const float low = x[i], high = x[i + pairs];
    x[i] = std::fma(low, cosine[i], -(high * sine[i]));
    x[i + pairs] = std::fma(high, cosine[i], low * sine[i]);
  }
}

void silu_multiply(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gate[i];
    out[i] = (g / (1.0f + exp_f32(-g))) * up[i];
  }
}

float dot(const float* a, const float* b, int64_t n) {
  float lanes[16] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i % 16] = std::fma(a[i], b[i], lanes[i % 16]);
  return sum_lanes(lanes);
}

// gelu(g) = g (1 + tanh u) / 2 = g / (1 + exp(-2u)), u = sqrt(2/pi) (g + 0.044715 g^3).
void gelu_multiply(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gate[i];
    const float twice_u = g * std::fma(g * g, kGeluCubic, kGeluLinear);
    out[i] = (g / (1.0f + exp_f32(-twice_u))) * up[i];
  }
}

void soft_cap(float* x, float cap, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = cap * tanh_f32(x[i] / cap);
}

void add(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] + y[i];
}

void narrow(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f32_to_f16(x[i]);
}

}  // namespace
}  // namespace ref

const Kernels* ref_kernels() {
  using namespace ref;
  static constexpr Kernels table{
      "ref",         matmul,   quantise, rms_norm, rotate,           silu_multiply,    dot,
      gelu_multiply, soft_cap, add,      narrow,   attend_block_f16, attend_block_f32, attend_merge,
      attend_finish};
  return &table;
}

}  // namespace dspark::compute

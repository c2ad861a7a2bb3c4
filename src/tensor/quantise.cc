// Quantisation: every block starts from its range, tries a few narrower ranges, and keeps the one
// with the least squared error after a least-squares fit of scale (and minimum) to its codes.
// Deterministic.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/base.h"
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/kquant_scales.h"

namespace dspark {
namespace {

constexpr int kMaxGroup = 32;         // values that share a scale
constexpr float kTooLarge = 1e9f;     // beyond what any quantised type holds
constexpr float kVanishing = 1e-12f;  // rounds to zero in every quantised type
constexpr float kF16Smallest = 0x1p-24f;

// Round to nearest even of |v| < 2^22, in a form that vectorises.
float round_even(float v) { return (v + 0x1.8p23f) - 0x1.8p23f; }

float to_code(float v, float lowest, float highest) {
  return round_even(std::min(std::max(v, lowest), highest));
}

float inverse(float v) { return v == 0.0f ? 0.0f : 1.0f / v; }

// The scale as stored. A scale that would vanish keeps the smallest step, so that codes still mean
// something.
float stored_f16(float v) {
  const float rounded = f16_to_f32(f32_to_f16(v));
  if (rounded == 0.0f && std::fabs(v) >= kVanishing) return std::copysign(kF16Smallest, v);
  return rounded;
}

void store_f16(float v, uint8_t* out) {
  const uint16_t bits = f32_to_f16(v);
  std::memcpy(out, &bits, sizeof bits);
}

// A scale s for x[i] ~ s * code[i] with codes in [-limit, limit - 1]; the value of largest
// magnitude takes the longer, negative side.
float fit_symmetric(const float* x, int n, int limit) {
  float extreme = 0;
  for (int i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  if (std::fabs(extreme) < kVanishing) return 0;
  const auto lowest = static_cast<float>(-limit), highest = static_cast<float>(limit - 1);
  float best_scale = extreme / lowest, best_gain = -1;
  for (int step = -2; step <= 5; ++step) {
    const float range = lowest + 0.04f * static_cast<float>(step * limit) / 2;
    const float inverse_scale = range / extreme;
    float codes[kMaxGroup];
    for (int i = 0; i < n; ++i) codes[i] = to_code(x[i] * inverse_scale, lowest, highest);
    float xq = 0, qq = 0;
    for (int i = 0; i < n; ++i) {
      xq += x[i] * codes[i];
      qq += codes[i] * codes[i];
    }
    // With the least-squares scale xq/qq, the squared error is sum(x^2) - xq^2/qq.
    if (qq > 0 && xq * xq > best_gain * qq) {
      best_gain = xq * xq / qq;
      best_scale = xq / qq;
    }
  }
  return best_scale;
}

struct Affine {
  float scale = 0, min = 0;
};

// scale >= 0 and min for x[i] ~ scale * code[i] + min with codes in [0, highest]. With
// min_at_most_zero the minimum is held at or below 0 (K-quants store its magnitude).
Affine fit_affine(const float* x, int n, int highest_code, bool min_at_most_zero) {
  float low = x[0], high = x[0];
  for (int i = 1; i < n; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  if (min_at_most_zero) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
  }
  const float range = high - low;
  if (range < kVanishing) return {0, low};
  const auto highest = static_cast<float>(highest_code);
  Affine best{range / highest, low};
  float best_error = INFINITY;
  float sum_x = 0;
  for (int i = 0; i < n; ++i) sum_x += x[i];
  for (int step = -1; step <= 6; ++step) {
    const float inverse_scale = (highest + 0.15f * static_cast<float>(step)) / range;
    float codes[kMaxGroup];
    for (int i = 0; i < n; ++i) codes[i] = to_code((x[i] - low) * inverse_scale, 0.0f, highest);
    float sum_q = 0, sum_qq = 0, sum_xq = 0;
    for (int i = 0; i < n; ++i) {
      sum_q += codes[i];
      sum_qq += codes[i] * codes[i];
      sum_xq += x[i] * codes[i];
    }
    const auto count = static_cast<float>(n);
    const float determinant = count * sum_qq - sum_q * sum_q;
    if (determinant <= 0) continue;
    Affine fit{(count * sum_xq - sum_x * sum_q) / determinant,
               (sum_qq * sum_x - sum_q * sum_xq) / determinant};
    if (min_at_most_zero && fit.min > 0) fit = {sum_xq / sum_qq, 0};
    if (!(fit.scale > 0)) continue;
    float error = 0;
    for (int i = 0; i < n; ++i) {
      const float difference = fit.scale * codes[i] + fit.min - x[i];
      error += difference * difference;
    }
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

// Two 4-bit halves a byte, value j low and value j + 16 high.
void pack_nibbles(const int* codes, uint8_t* out) {
  for (int j = 0; j < 16; ++j)
    out[j] = static_cast<uint8_t>((codes[j] & 15) | ((codes[j + 16] & 15) << 4));
}

void pack_fifth_bits(const int* codes, uint8_t* out) {
  uint32_t bits = 0;
  for (int j = 0; j < 32; ++j) bits |= static_cast<uint32_t>((codes[j] >> 4) & 1) << j;
  std::memcpy(out, &bits, sizeof bits);
}

// Q4_0 (limit 8) and Q5_0 (limit 16).
bool quantise_symmetric(const float* x, int limit, uint8_t* out) {
  const float d = stored_f16(fit_symmetric(x, 32, limit));
  if (!std::isfinite(d)) return false;
  const float inverse_d = inverse(d);
  int codes[32];
  for (int j = 0; j < 32; ++j) {
    codes[j] = static_cast<int>(to_code(x[j] * inverse_d, static_cast<float>(-limit),
                                        static_cast<float>(limit - 1))) +
               limit;
  }
  store_f16(d, out);
  if (limit == 16) pack_fifth_bits(codes, out + 2);
  pack_nibbles(codes, out + (limit == 16 ? 6 : 2));
  return true;
}

// Q4_1 (highest 15) and Q5_1 (highest 31).
bool quantise_affine(const float* x, int highest, uint8_t* out) {
  const Affine fit = fit_affine(x, 32, highest, false);
  const float d = stored_f16(fit.scale);
  const float m = f16_to_f32(f32_to_f16(fit.min));
  if (!std::isfinite(d) || !std::isfinite(m)) return false;
  const float inverse_d = inverse(d);
  int codes[32];
  for (int j = 0; j < 32; ++j)
    codes[j] = static_cast<int>(to_code((x[j] - m) * inverse_d, 0, static_cast<float>(highest)));
  store_f16(d, out);
  store_f16(m, out + 2);
  if (highest == 31) pack_fifth_bits(codes, out + 4);
  pack_nibbles(codes, out + (highest == 31 ? 8 : 4));
  return true;
}

bool quantise_q8_0(const float* x, uint8_t* out) {
  float largest = 0;
  for (int j = 0; j < 32; ++j) largest = std::max(largest, std::fabs(x[j]));
  const float d = stored_f16(largest / 127.0f);
  if (!std::isfinite(d)) return false;
  const float inverse_d = inverse(d);
  store_f16(d, out);
  for (int j = 0; j < 32; ++j) {
    const auto code = static_cast<int8_t>(to_code(x[j] * inverse_d, -127, 127));
    out[2 + j] = static_cast<uint8_t>(code);
  }
  return true;
}

// Q4_K (highest 15) and Q5_K (highest 31): the scales of the groups are themselves 6-bit codes.
bool quantise_kquant(const float* x, int highest, uint8_t* out) {
  Affine fits[8];
  float largest_scale = 0, largest_min = 0;
  for (int g = 0; g < 8; ++g) {
    fits[g] = fit_affine(x + 32 * g, 32, highest, true);
    largest_scale = std::max(largest_scale, fits[g].scale);
    largest_min = std::max(largest_min, -fits[g].min);
  }
  const float d = stored_f16(largest_scale / 63), dmin = stored_f16(largest_min / 63);
  if (!std::isfinite(d) || !std::isfinite(dmin)) return false;
  KQuantScales scales;
  int codes[256];
  for (int g = 0; g < 8; ++g) {
    scales.scale[g] = static_cast<uint8_t>(to_code(fits[g].scale * inverse(d), 0, 63));
    scales.min[g] = static_cast<uint8_t>(to_code(-fits[g].min * inverse(dmin), 0, 63));
    const float inverse_scale = inverse(d * static_cast<float>(scales.scale[g]));
    const float offset = dmin * static_cast<float>(scales.min[g]);
    for (int l = 0; l < 32; ++l) {
      const float code = (x[32 * g + l] + offset) * inverse_scale;
      codes[32 * g + l] = static_cast<int>(to_code(code, 0, static_cast<float>(highest)));
    }
  }
  store_f16(d, out);
  store_f16(dmin, out + 2);
  pack_kquant_scales(scales, out + 4);
  uint8_t* bytes = out + 16;
  if (highest == 31) {
    for (int l = 0; l < 32; ++l) {
      int bits = 0;
      for (int g = 0; g < 8; ++g) bits |= (codes[32 * g + l] >> 4) << g;
      bytes[l] = static_cast<uint8_t>(bits);
    }
    bytes += 32;
  }
  for (int pair = 0; pair < 4; ++pair) {
    const int* group = codes + 64 * pair;
    for (int l = 0; l < 32; ++l)
      bytes[32 * pair + l] = static_cast<uint8_t>((group[l] & 15) | ((group[32 + l] & 15) << 4));
  }
  return true;
}

bool quantise_q6_k(const float* x, uint8_t* out) {
  float fits[16];
  float extreme = 0;
  for (int g = 0; g < 16; ++g) {
    fits[g] = fit_symmetric(x + 16 * g, 16, 32);
    if (std::fabs(fits[g]) > std::fabs(extreme)) extreme = fits[g];
  }
  const float d = stored_f16(extreme / -128);
  if (!std::isfinite(d)) return false;
  std::memset(out, 0, 210);
  for (int g = 0; g < 16; ++g) {
    const auto scale_code = static_cast<int8_t>(to_code(fits[g] * inverse(d), -128, 127));
    out[192 + g] = static_cast<uint8_t>(scale_code);
    const float inverse_scale = inverse(d * static_cast<float>(scale_code));
    for (int l = 0; l < 16; ++l) {
      const int i = 16 * g + l;  // place of the value in the block
      const int code = static_cast<int>(to_code(x[i] * inverse_scale, -32, 31)) + 32;
      const int half = i / 128, group = i % 128 / 32, column = i % 32;
      out[64 * half + 32 * (group % 2) + column] |=
          static_cast<uint8_t>((code & 15) << (4 * (group / 2)));
      out[128 + 32 * half + column] |= static_cast<uint8_t>((code >> 4) << (2 * group));
    }
  }
  store_f16(d, out + 208);
  return true;
}

bool quantise_block(DType type, const float* x, uint8_t* out) {
  switch (type) {
    case DType::kQ4_0:
      return quantise_symmetric(x, 8, out);
    case DType::kQ4_1:
      return quantise_affine(x, 15, out);
    case DType::kQ5_0:
      return quantise_symmetric(x, 16, out);
    case DType::kQ5_1:
      return quantise_affine(x, 31, out);
    case DType::kQ8_0:
      return quantise_q8_0(x, out);
    case DType::kQ4_K:
      return quantise_kquant(x, 15, out);
    case DType::kQ5_K:
      return quantise_kquant(x, 31, out);
    case DType::kQ6_K:
      return quantise_q6_k(x, out);
    default:
      CHECK(false, "{} is not quantised in blocks", dtype_info(type).name);
  }
}

bool narrow(DType type, const float* source, uint8_t* out, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const uint16_t bits = type == DType::kF16 ? f32_to_f16(source[i]) : f32_to_bf16(source[i]);
    const float stored = type == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    if (!std::isfinite(stored)) return false;
    std::memcpy(out + 2 * i, &bits, sizeof bits);
  }
  return true;
}

}  // namespace

bool quantise(DType type, const float* source, uint8_t* out, size_t n) {
  const DTypeInfo& info = dtype_info(type);
  CHECK(info.is_weight, "{} is not a weight type", info.name);
  CHECK(n % static_cast<size_t>(info.block_values) == 0, "{} values of {}", n, info.name);
  if (type == DType::kF16 || type == DType::kBF16) return narrow(type, source, out, n);
  const float limit = type == DType::kF32 ? INFINITY : kTooLarge;
  for (size_t i = 0; i < n; ++i)
    if (!(std::fabs(source[i]) < limit)) return false;
  if (type == DType::kF32) {
    if (n > 0) std::memcpy(out, source, n * sizeof(float));
    return true;
  }
  const auto values = static_cast<size_t>(info.block_values);
  const auto bytes = static_cast<size_t>(info.block_bytes);
  for (size_t b = 0; b < n / values; ++b)
    if (!quantise_block(type, source + b * values, out + b * bytes)) return false;
  return true;
}

}  // namespace dspark

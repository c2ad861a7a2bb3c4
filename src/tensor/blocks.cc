#include "tensor/blocks.h"

#include <cstring>

#include "base/base.h"
#include "tensor/half.h"
#include "tensor/kquant_scales.h"

namespace dspark {
namespace {

uint16_t load_u16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

float load_f16(const uint8_t* p) { return f16_to_f32(load_u16(p)); }

// Blocks of 32, 4 bits: byte j holds value j in its low half and value j + 16 in its high half.
void dequantise_q4_0(const uint8_t* block, float* out) {
  const float d = load_f16(block);
  const uint8_t* codes = block + 2;
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>((codes[j] & 15) - 8) * d;
    out[j + 16] = static_cast<float>((codes[j] >> 4) - 8) * d;
  }
}

void dequantise_q4_1(const uint8_t* block, float* out) {
  const float d = load_f16(block), m = load_f16(block + 2);
  const uint8_t* codes = block + 4;
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(codes[j] & 15) * d + m;
    out[j + 16] = static_cast<float>(codes[j] >> 4) * d + m;
  }
}

// 5 bits: bit j of a 32-bit word is the fifth bit of value j.
uint32_t load_high_bits(const uint8_t* p) {
  uint32_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return bits;
}

int fifth_bit(uint32_t bits, int j) { return static_cast<int>((bits >> j) & 1u) << 4; }

void dequantise_q5_0(const uint8_t* block, float* out) {
  const float d = load_f16(block);
  const uint32_t high = load_high_bits(block + 2);
  const uint8_t* codes = block + 6;
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(((codes[j] & 15) | fifth_bit(high, j)) - 16) * d;
    out[j + 16] = static_cast<float>(((codes[j] >> 4) | fifth_bit(high, j + 16)) - 16) * d;
  }
}

void dequantise_q5_1(const uint8_t* block, float* out) {
  const float d = load_f16(block), m = load_f16(block + 2);
  const uint32_t high = load_high_bits(block + 4);
  const uint8_t* codes = block + 8;
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>((codes[j] & 15) | fifth_bit(high, j)) * d + m;
    out[j + 16] = static_cast<float>((codes[j] >> 4) | fifth_bit(high, j + 16)) * d + m;
  }
}

void dequantise_q8_0(const uint8_t* block, float* out) {
  const float d = load_f16(block);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(static_cast<int8_t>(block[2 + j])) * d;
}

// Blocks of 256: eight groups of 32. 32 code bytes hold group 2c in their low halves and group 2c +
// 1 in their high halves; value = (d * scale) * code - (dmin * min).
void dequantise_q4_k(const uint8_t* block, float* out) {
  const float d = load_f16(block), dmin = load_f16(block + 2);
  const KQuantScales scales = unpack_kquant_scales(block + 4);
  const uint8_t* codes = block + 16;
  for (int g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(scales.scale[g]);
    const float offset = dmin * static_cast<float>(scales.min[g]);
    const uint8_t* bytes = codes + 32 * (g / 2);
    const int shift = 4 * (g % 2);
    for (int l = 0; l < 32; ++l)
      out[32 * g + l] = scale * static_cast<float>((bytes[l] >> shift) & 15) - offset;
  }
}

// As Q4_K, with a fifth bit: bit g of high byte l belongs to value l of group g.
void dequantise_q5_k(const uint8_t* block, float* out) {
  const float d = load_f16(block), dmin = load_f16(block + 2);
  const KQuantScales scales = unpack_kquant_scales(block + 4);
  const uint8_t* high = block + 16;
  const uint8_t* codes = block + 48;
  for (int g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(scales.scale[g]);
    const float offset = dmin * static_cast<float>(scales.min[g]);
    const uint8_t* bytes = codes + 32 * (g / 2);
    const int shift = 4 * (g % 2);
    for (int l = 0; l < 32; ++l) {
      const int code = ((bytes[l] >> shift) & 15) | (((high[l] >> g) & 1) << 4);
      out[32 * g + l] = scale * static_cast<float>(code) - offset;
    }
  }
}

// Two halves of 128, each four groups of 32 values (two scales a group, one for 16 values). The low
// four bits are in the low or high half of 64 bytes, the upper two in 32 bytes, two bits a group.
void dequantise_q6_k(const uint8_t* block, float* out) {
  const float d = load_f16(block + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block + 64 * half;
    const uint8_t* high = block + 128 + 32 * half;
    const uint8_t* scales = block + 192 + 8 * half;
    for (int g = 0; g < 4; ++g) {
      for (int l = 0; l < 32; ++l) {
        const int nibble = (low[32 * (g % 2) + l] >> (4 * (g / 2))) & 15;
        const int code = (nibble | (((high[l] >> (2 * g)) & 3) << 4)) - 32;
        const float scale = d * static_cast<float>(static_cast<int8_t>(scales[2 * g + l / 16]));
        out[128 * half + 32 * g + l] = scale * static_cast<float>(code);
      }
    }
  }
}

using DequantiseBlock = void (*)(const uint8_t*, float*);

DequantiseBlock block_function(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return dequantise_q4_0;
    case DType::kQ4_1:
      return dequantise_q4_1;
    case DType::kQ5_0:
      return dequantise_q5_0;
    case DType::kQ5_1:
      return dequantise_q5_1;
    case DType::kQ8_0:
      return dequantise_q8_0;
    case DType::kQ4_K:
      return dequantise_q4_k;
    case DType::kQ5_K:
      return dequantise_q5_k;
    case DType::kQ6_K:
      return dequantise_q6_k;
    default:
      return nullptr;
  }
}

}  // namespace

void dequantise(DType type, const uint8_t* source, float* out, size_t n) {
  const DTypeInfo& info = dtype_info(type);
  CHECK(info.is_weight, "{} is not a weight type", info.name);
  CHECK(n % static_cast<size_t>(info.block_values) == 0, "{} values of {}", n, info.name);
  if (type == DType::kF32) {
    if (n > 0) std::memcpy(out, source, n * sizeof(float));
  } else if (type == DType::kF16) {
    for (size_t i = 0; i < n; ++i) out[i] = load_f16(source + 2 * i);
  } else if (type == DType::kBF16) {
    for (size_t i = 0; i < n; ++i) out[i] = bf16_to_f32(load_u16(source + 2 * i));
  } else {
    const DequantiseBlock function = block_function(type);
    const auto values = static_cast<size_t>(info.block_values);
    const auto bytes = static_cast<size_t>(info.block_bytes);
    for (size_t b = 0; b < n / values; ++b) function(source + b * bytes, out + b * values);
  }
}

}  // namespace dspark

#include "random_blocks.h"

#include <cstring>

#include "base/base.h"
#include "tensor/kquant_scales.h"

namespace dspark {
namespace {

constexpr float kSigma = 0.02f;

// Standard deviations of the codes below.
constexpr float kNibbleSigma = 3.24f;   // two uniform 0..7, plus 1: 1..15, mean 8
constexpr float kFiveBitSigma = 8.63f;  // such a nibble, and a fair fifth bit: mean 16
constexpr float kSixBitSigma = 18.2f;   // such a nibble, and two fair upper bits: mean 32
constexpr float kByteSigma = 52.3f;     // two uniform 0..127, less 127: -127..127, mean 0

void put_f16(uint8_t* out, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(out, &bits, sizeof bits);
}

// mean * (0.75 .. 1.25)
float varied(float mean, RandomBits& bits) {
  return mean * (0.75f + 0.5f * static_cast<float>(bits.next() >> 40) * 0x1p-24f);
}

void put_nibbles(uint8_t* out, size_t bytes, RandomBits& bits) {
  constexpr uint64_t kLowThree = 0x7777777777777777u, kOnes = 0x1111111111111111u;
  for (size_t i = 0; i < bytes; i += 8) {
    const uint64_t first = bits.next() & kLowThree;
    const uint64_t codes = first + (bits.next() & kLowThree) + kOnes;
    std::memcpy(out + i, &codes, 8);
  }
}

void put_bits(uint8_t* out, size_t bytes, RandomBits& bits) {
  for (size_t i = 0; i < bytes; i += 8) {
    const uint64_t random = bits.next();
    std::memcpy(out + i, &random, bytes - i < 8 ? bytes - i : 8);
  }
}

// Q4_0, Q4_1, Q5_0, Q5_1: a scale, maybe a minimum, maybe fifth bits, nibbles.
void put_block_of_32(DType type, RandomBits& bits, uint8_t* out) {
  const bool five = type == DType::kQ5_0 || type == DType::kQ5_1;
  const float d = varied(kSigma / (five ? kFiveBitSigma : kNibbleSigma), bits);
  put_f16(out, d);
  out += 2;
  if (type == DType::kQ4_1 || type == DType::kQ5_1) {
    put_f16(out, f16_to_f32(f32_to_f16(d)) * (five ? -16.0f : -8.0f));
    out += 2;
  }
  if (five) {
    put_bits(out, 4, bits);
    out += 4;
  }
  put_nibbles(out, 16, bits);
}

void put_q8_0(RandomBits& bits, uint8_t* out) {
  put_f16(out, varied(kSigma / kByteSigma, bits));
  for (int i = 0; i < 4; ++i) {
    const uint64_t a = bits.next(), b = bits.next();
    for (int j = 0; j < 8; ++j) {
      const uint64_t sum = ((a >> (8 * j)) & 127) + ((b >> (8 * j)) & 127);
      out[2 + 8 * i + j] = static_cast<uint8_t>(sum - 127);
    }
  }
}

// Q4_K and Q5_K. A group's minimum has its scale's code, and dmin is d times the mean code, so that
// the values' mean is 0.
void put_kquant(bool five, RandomBits& bits, uint8_t* out) {
  constexpr float kMeanScale = 47.5f;
  const float d = kSigma / (five ? kFiveBitSigma : kNibbleSigma) / kMeanScale;
  const float stored = f16_to_f32(f32_to_f16(varied(d, bits)));
  put_f16(out, stored);
  put_f16(out + 2, stored * (five ? 16.0f : 8.0f));
  KQuantScales scales;
  const uint64_t random = bits.next();
  for (int g = 0; g < 8; ++g) {
    scales.scale[g] = static_cast<uint8_t>(32 + ((random >> (8 * g)) & 31));
    scales.min[g] = scales.scale[g];
  }
  pack_kquant_scales(scales, out + 4);
  if (five) put_bits(out + 16, 32, bits);
  put_nibbles(out + (five ? 48 : 16), 128, bits);
}

void put_q6_k(RandomBits& bits, uint8_t* out) {
  constexpr float kMeanScale = 95.5f;
  put_nibbles(out, 128, bits);
  put_bits(out + 128, 64, bits);
  put_bits(out + 192, 16, bits);
  for (int g = 0; g < 16; ++g) out[192 + g] = static_cast<uint8_t>(64 + (out[192 + g] & 63));
  put_f16(out + 208, varied(kSigma / kSixBitSigma / kMeanScale, bits));
}

// The sum of four 16-bit uniform numbers: close to normal, and exact arithmetic on every machine.
float normal(RandomBits& bits) {
  const uint64_t random = bits.next();
  const auto sum = static_cast<int>((random & 0xffff) + ((random >> 16) & 0xffff) +
                                    ((random >> 32) & 0xffff) + (random >> 48));
  constexpr float kSumSigma = 37837.2f;  // 65536 * sqrt(4 / 12)
  return static_cast<float>(sum - 2 * 65535) * (kSigma / kSumSigma);
}

void put_float(DType type, RandomBits& bits, uint8_t* out) {
  const float value = normal(bits);
  if (type == DType::kF32) {
    std::memcpy(out, &value, sizeof value);
    return;
  }
  const uint16_t half = type == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
  std::memcpy(out, &half, sizeof half);
}

}  // namespace

void random_weights(DType type, size_t n, RandomBits& bits, uint8_t* out) {
  const DTypeInfo& info = dtype_info(type);
  CHECK(info.is_weight && n % static_cast<size_t>(info.block_values) == 0, "{} of {}", n,
        info.name);
  const uint8_t* end = out + dtype_bytes(type, n);
  for (; out < end; out += info.block_bytes) {
    switch (type) {
      case DType::kQ8_0:
        put_q8_0(bits, out);
        break;
      case DType::kQ4_K:
        put_kquant(false, bits, out);
        break;
      case DType::kQ5_K:
        put_kquant(true, bits, out);
        break;
      case DType::kQ6_K:
        put_q6_k(bits, out);
        break;
      case DType::kF32:
      case DType::kF16:
      case DType::kBF16:
        put_float(type, bits, out);
        break;
      default:
        put_block_of_32(type, bits, out);
        break;
    }
  }
}

}  // namespace dspark

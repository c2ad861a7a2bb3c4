// Private to the room sample: how noise is drawn, so that scans over a vocabulary can refuse most
// tokens by integers alone.
//
// A token's uniform variate u is given by its complement 1 - u = (c | 1) * 2^-53, with c of 53
// bits: so u and 1 - u lie strictly between 0 and 1 and are exact. The top 8 bits of c are a byte
// of a 64-bit hash that 8 neighbouring tokens share, the other 45 come from a hash of the token's
// own. Noise needs 1 - u to be small, and one cheap hash tells of 8 tokens that it is not.
#pragma once

#include <cstdint>

#include "base/base.h"

namespace dspark::sample {

inline constexpr int kHashTokens = 8;  // tokens that share a hash of their top bits

// A bijection of 64-bit words whose every output bit depends on every input bit (two rounds of
// multiply and xor-shift).
inline uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The noise of one (seed, position): every token's.
class NoiseRow {
 public:
  NoiseRow(uint64_t seed, int64_t position)
      : top_(mix(mix(seed + kStep) + static_cast<uint64_t>(position) * kStep)),
        low_(mix(top_ ^ 0x6a09e667f3bcc909u)) {}

  // Byte i: the top 8 bits of 1 - u of token kHashTokens * group + i.
  uint64_t top_bytes(int32_t group) const {
    return mix(top_ + static_cast<uint64_t>(group + 1) * kStep);
  }

  // 1 - u, given the token's byte of top_bytes().
  double complement(int32_t token, uint64_t top_byte) const {
    const uint64_t low = mix(low_ + (static_cast<uint64_t>(token) + 1) * kStep) >> 19;
    return static_cast<double>(((top_byte << 45) | low) | 1) * 0x1p-53;
  }
  double complement(int32_t token) const {
    const int shift = 8 * (token % kHashTokens);
    return complement(token, (top_bytes(token / kHashTokens) >> shift) & 0xff);
  }

 private:
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;  // odd: multiples are distinct
  uint64_t top_, low_;
};

// 1 - complement is exact: both are multiples of 2^-53.
inline double gumbel_of(double complement) { return -real_log(-real_log(1.0 - complement)); }

}  // namespace dspark::sample

// The packed scales of Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minimums in 12 bytes.
// Bytes 0..3 hold scales 0..3 and bytes 4..7 minimums 0..3 in their low six bits; bytes 8..11 hold
// the low four bits of scale 4..7 and minimum 4..7, whose upper two bits are on top of bytes 0..3
// and 4..7.
#pragma once

#include <cstdint>

namespace dspark {

struct KQuantScales {
  uint8_t scale[8];
  uint8_t min[8];
};

inline KQuantScales unpack_kquant_scales(const uint8_t* packed) {
  KQuantScales scales;
  for (int j = 0; j < 4; ++j) {
    scales.scale[j] = packed[j] & 63;
    scales.min[j] = packed[j + 4] & 63;
    scales.scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 15) | ((packed[j] >> 6) << 4));
    scales.min[j + 4] = static_cast<uint8_t>((packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4));
  }
  return scales;
}

inline void pack_kquant_scales(const KQuantScales& scales, uint8_t* packed) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(scales.scale[j] | ((scales.scale[j + 4] >> 4) << 6));
    packed[j + 4] = static_cast<uint8_t>(scales.min[j] | ((scales.min[j + 4] >> 4) << 6));
    packed[j + 8] =
        static_cast<uint8_t>((scales.scale[j + 4] & 15) | ((scales.min[j + 4] & 15) << 4));
  }
}

}  // namespace dspark

// Stored blocks (GGUF's layouts) to tiles.
#include <cstring>

#include "compute/packed_matrix.h"

namespace dspark::compute {
namespace {

constexpr size_t kNibbleBytes = kTileRows * kGroup / 2;

bool finite_half(const uint8_t* at) { return (at[1] & 0x7c) != 0x7c; }

using GroupCodes = uint8_t[kTileRows][kGroup];

void put_nibbles(const GroupCodes& codes, uint8_t* out) {
  for (int j = 0; j < 4; ++j)
    for (int lane = 0; lane < kTileRows; ++lane)
      for (int b = 0; b < 4; ++b)
        out[j * 64 + lane * 4 + b] = static_cast<uint8_t>((codes[lane][4 * j + b] & 15) |
                                                          (codes[lane][4 * (j + 4) + b] & 15) << 4);
}

void put_high_bits(const GroupCodes& codes, uint8_t* out) {
  std::memset(out, 0, 64);
  for (int j = 0; j < 8; ++j)
    for (int lane = 0; lane < kTileRows; ++lane)
      for (int b = 0; b < 4; ++b) {
        const int bit = lane * 4 + b;
        out[j * 8 + bit / 8] |=
            static_cast<uint8_t>(((codes[lane][4 * j + b] >> 4) & 1) << (bit % 8));
      }
}

void put_high_pairs(const GroupCodes& codes, uint8_t* out) {
  std::memset(out, 0, 128);
  for (int j = 0; j < 8; ++j)
    for (int lane = 0; lane < kTileRows; ++lane)
      for (int b = 0; b < 4; ++b)
        out[(j & 1) * 64 + lane * 4 + b] |=
            static_cast<uint8_t>(((codes[lane][4 * j + b] >> 4) & 3) << (2 * (j >> 1)));
}

// Q4_0 and Q4_1 keep columns t and t + 16 in one byte, which is a tile's own pairing.
bool pack_q4(const uint8_t* const rows[], int64_t groups, int scale_bytes, uint8_t* out) {
  bool finite = true;
  for (int64_t g = 0; g < groups;
       ++g, out += kNibbleBytes + static_cast<size_t>(scale_bytes) * kTileRows) {
    uint8_t* scales = out + kNibbleBytes;
    for (int lane = 0; lane < kTileRows; ++lane) {
      if (rows[lane] == nullptr) {
        for (int j = 0; j < 4; ++j) std::memset(out + j * 64 + lane * 4, 0, 4);
        for (int s = 0; s < scale_bytes; s += 2)
          std::memset(scales + s * kTileRows + 2 * lane, 0, 2);
        continue;
      }
      const uint8_t* block = rows[lane] + g * (scale_bytes + 16);
      for (int s = 0; s < scale_bytes; s += 2) {
        finite &= finite_half(block + s);
        std::memcpy(scales + s * kTileRows + 2 * lane, block + s, 2);
      }
      for (int j = 0; j < 4; ++j)
        std::memcpy(out + j * 64 + lane * 4, block + scale_bytes + 4 * j, 4);
    }
  }
  return finite;
}

bool pack_q5(const uint8_t* const rows[], int64_t groups, int scale_bytes, uint8_t* out) {
  bool finite = true;
  for (int64_t g = 0; g < groups; ++g) {
    GroupCodes codes = {};
    uint8_t* scales = out + kNibbleBytes + 64;
    std::memset(scales, 0, static_cast<size_t>(scale_bytes) * kTileRows);
    for (int lane = 0; lane < kTileRows; ++lane) {
      if (rows[lane] == nullptr) continue;
      const uint8_t* block = rows[lane] + g * (scale_bytes + 20);
      for (int s = 0; s < scale_bytes; s += 2) {
        finite &= finite_half(block + s);
        std::memcpy(scales + s * kTileRows + 2 * lane, block + s, 2);
      }
      uint32_t high;
      std::memcpy(&high, block + scale_bytes, 4);
      const uint8_t* low = block + scale_bytes + 4;
      for (int t = 0; t < kGroup; ++t)
        codes[lane][t] =
            static_cast<uint8_t>(((low[t % 16] >> (t < 16 ? 0 : 4)) & 15) | ((high >> t) & 1) << 4);
    }
    put_nibbles(codes, out);
    put_high_bits(codes, out + kNibbleBytes);
    out = scales + static_cast<size_t>(scale_bytes) * kTileRows;
  }
  return finite;
}

bool pack_q8(const uint8_t* const rows[], int64_t groups, uint8_t* out) {
  bool finite = true;
  for (int64_t g = 0; g < groups; ++g, out += 2 * kNibbleBytes + 2 * kTileRows) {
    for (int lane = 0; lane < kTileRows; ++lane) {
      uint8_t codes[kGroup];
      uint8_t scale[2] = {0, 0};
      std::memset(codes, 0x80, sizeof codes);
      if (rows[lane] != nullptr) {
        const uint8_t* block = rows[lane] + g * 34;
        finite &= finite_half(block);
        std::memcpy(scale, block, 2);
        for (int t = 0; t < kGroup; ++t) codes[t] = block[2 + t] ^ 0x80;  // signed to offset 128
      }
      for (int j = 0; j < 8; ++j) std::memcpy(out + j * 64 + lane * 4, codes + 4 * j, 4);
      std::memcpy(out + 2 * kNibbleBytes + 2 * lane, scale, 2);
    }
  }
  return finite;
}

// 6-bit scale and minimum of group g from the 12 bytes of a Q4_K or Q5_K block.
void k_scale(const uint8_t* packed, int g, uint8_t* scale, uint8_t* minimum) {
  if (g < 4) {
    *scale = packed[g] & 63;
    *minimum = packed[g + 4] & 63;
  } else {
    *scale = static_cast<uint8_t>((packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4);
    *minimum = static_cast<uint8_t>((packed[g + 4] >> 4) | (packed[g] >> 6) << 4);
  }
}

bool pack_q45_k(bool five, const uint8_t* const rows[], int64_t supers, uint8_t* out) {
  bool finite = true;
  const int64_t block_bytes = five ? 176 : 144;
  for (int64_t s = 0; s < supers; ++s) {
    uint8_t* head = out;
    out += 4 * kTileRows;
    std::memset(head, 0, 4 * kTileRows);
    for (int lane = 0; lane < kTileRows; ++lane) {
      if (rows[lane] == nullptr) continue;
      const uint8_t* block = rows[lane] + s * block_bytes;
      finite &= finite_half(block) && finite_half(block + 2);
      std::memcpy(head + 2 * lane, block, 2);
      std::memcpy(head + 2 * kTileRows + 2 * lane, block + 2, 2);
    }
    for (int g = 0; g < kSuperGroups; ++g) {
      GroupCodes codes = {};
      std::memset(out, 0, 2 * kTileRows);
      for (int lane = 0; lane < kTileRows; ++lane) {
        if (rows[lane] == nullptr) continue;
        const uint8_t* block = rows[lane] + s * block_bytes;
        k_scale(block + 4, g, out + lane, out + kTileRows + lane);
        const uint8_t* low = block + (five ? 48 : 16) + 32 * (g / 2);
        for (int t = 0; t < kGroup; ++t) {
          const int high = five ? (block[16 + t] >> g) & 1 : 0;
          codes[lane][t] = static_cast<uint8_t>(((low[t] >> (4 * (g % 2))) & 15) | high << 4);
        }
      }
      put_nibbles(codes, out + 2 * kTileRows);
      if (five) put_high_bits(codes, out + 2 * kTileRows + kNibbleBytes);
      out += packed_group_bytes(five ? DType::kQ5_K : DType::kQ4_K);
    }
  }
  return finite;
}

bool pack_q6_k(const uint8_t* const rows[], int64_t supers, uint8_t* out) {
  bool finite = true;
  constexpr int64_t kBlockBytes = 210;
  for (int64_t s = 0; s < supers; ++s) {
    uint8_t* head = out;
    out += 2 * kTileRows;
    std::memset(head, 0, 2 * kTileRows);
    for (int lane = 0; lane < kTileRows; ++lane) {
      if (rows[lane] == nullptr) continue;
      const uint8_t* scale = rows[lane] + s * kBlockBytes + 208;
      finite &= finite_half(scale);
      std::memcpy(head + 2 * lane, scale, 2);
    }
    for (int g = 0; g < kSuperGroups; ++g) {
      GroupCodes codes = {};
      std::memset(out, 0, 2 * kTileRows);
      for (int lane = 0; lane < kTileRows; ++lane) {
        if (rows[lane] == nullptr) continue;
        const uint8_t* block = rows[lane] + s * kBlockBytes;
        // Each half of 128 values: quarter q takes low nibbles of bytes 32 * (q % 2), shifted by 4
        // for q >= 2, and two high bits at 2q of the half's 32 high bytes.
        const int half = g / 4, quarter = g % 4;
        const uint8_t* low = block + 64 * half + 32 * (quarter % 2);
        const uint8_t* high = block + 128 + 32 * half;
        for (int t = 0; t < kGroup; ++t)
          codes[lane][t] = static_cast<uint8_t>(((low[t] >> (quarter >= 2 ? 4 : 0)) & 15) |
                                                ((high[t] >> (2 * quarter)) & 3) << 4);
        out[lane] = block[192 + 2 * g];
        out[kTileRows + lane] = block[192 + 2 * g + 1];
      }
      put_nibbles(codes, out + 2 * kTileRows);
      put_high_pairs(codes, out + 2 * kTileRows + kNibbleBytes);
      out += packed_group_bytes(DType::kQ6_K);
    }
  }
  return finite;
}

template <int kBytes>
bool pack_float(DType type, const uint8_t* const rows[], int64_t columns, uint8_t* out) {
  bool finite = true;
  for (int64_t c = 0; c < columns; ++c)
    for (int lane = 0; lane < kTileRows; ++lane, out += kBytes) {
      if (rows[lane] == nullptr) {
        std::memset(out, 0, kBytes);
        continue;
      }
      const uint8_t* value = rows[lane] + c * kBytes;
      std::memcpy(out, value, kBytes);
      const bool big_exponent =
          type == DType::kF16 ? !finite_half(value)
                              : (value[kBytes - 1] & 0x7f) == 0x7f && (value[kBytes - 2] & 0x80);
      finite &= !big_exponent;
    }
  return finite;
}

}  // namespace

bool pack_tile(DType type, const uint8_t* const rows[kTileRows], int64_t columns, uint8_t* out) {
  const int64_t groups = columns / kGroup, supers = groups / kSuperGroups;
  switch (type) {
    case DType::kF32:
      return pack_float<4>(type, rows, columns, out);
    case DType::kF16:
    case DType::kBF16:
      return pack_float<2>(type, rows, columns, out);
    case DType::kQ4_0:
      return pack_q4(rows, groups, 2, out);
    case DType::kQ4_1:
      return pack_q4(rows, groups, 4, out);
    case DType::kQ5_0:
      return pack_q5(rows, groups, 2, out);
    case DType::kQ5_1:
      return pack_q5(rows, groups, 4, out);
    case DType::kQ8_0:
      return pack_q8(rows, groups, out);
    case DType::kQ4_K:
      return pack_q45_k(false, rows, supers, out);
    case DType::kQ5_K:
      return pack_q45_k(true, rows, supers, out);
    case DType::kQ6_K:
      return pack_q6_k(rows, supers, out);
    default:
      return false;
  }
}

}  // namespace dspark::compute

// A weight matrix repacked once at load: 16 output rows interleaved, so that one vector holds the
// same input columns of 16 outputs. The same layout serves every instruction set.
//
// A tile is 16 outputs over all columns, its groups of 32 columns in ascending order. Within a
// group:
//   codes   byte [j][lane][b] is column 4j + b of output `lane`, j = 0..7. Types of 4 to 6 bits
//   hold the low
//           nibbles of j and j + 4 in one byte (256 bytes), then the high bits: one bit a code (8
//           masks of 64 bits, bit 4*lane + b), or two (bytes [j & 1][lane][b], bits 2*(j >> 1))
//   scales  d [16] and, where the type has one, the minimum m [16], as float16
// K-quants: each super-block of 8 groups starts with d [16] (and dmin [16]) as float16; a group
// then starts with its 8-bit scales [16] and minima [16] (Q6_K: signed scales of its two halves
// [2][16]). Float types: [column][16 lanes].
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/tensor.h"

namespace dspark::compute {

inline constexpr int kTileRows = 16;
inline constexpr int kGroup = 32;       // columns that share an activation scale
inline constexpr int kSuperGroups = 8;  // groups in a K-quant's super-block

struct PackedMatrix {
  DType type = DType::kF32;
  int64_t rows = 0;     // outputs
  int64_t columns = 0;  // inputs; a multiple of the type's block
  const uint8_t* data = nullptr;

  bool empty() const { return rows == 0; }
  int64_t tiles() const { return (rows + kTileRows - 1) / kTileRows; }
  size_t tile_bytes() const;
  size_t bytes() const { return static_cast<size_t>(tiles()) * tile_bytes(); }
};

// Bytes of one group (float types: of one column), and of a super-block's head; 0 when the type has
// none.
size_t packed_group_bytes(DType type);
size_t packed_head_bytes(DType type);

inline bool is_float_type(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

// Packs one tile. rows[lane] is a stored row of `columns` values of `type`, nullptr for a missing
// row (zeros). False when a scale (or a float weight) is not finite.
bool pack_tile(DType type, const uint8_t* const rows[kTileRows], int64_t columns, uint8_t* out);

// Row `row` of the matrix as floats: value = code * scale (+ minimum), multiply and add rounding
// apart.
void unpack_row(const PackedMatrix& matrix, int64_t row, float* out);

}  // namespace dspark::compute

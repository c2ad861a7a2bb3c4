#include "compute/packed_matrix.h"

#include <cstring>

#include "base/base.h"

namespace dspark::compute {
namespace {

constexpr size_t kNibbleBytes = kTileRows * kGroup / 2;
constexpr size_t kHalfRow = kTileRows * 2;  // 16 lanes of float16

uint16_t load_u16(const uint8_t* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
float load_half(const uint8_t* at, int64_t lane) { return f16_to_f32(load_u16(at + 2 * lane)); }

// Code of column c (0..31) of a lane, given the group's codes and what high bits the type has.
int code_at(const uint8_t* codes, int64_t lane, int c, int high_bits) {
  const int j = c / 4;
  const int64_t within = lane * 4 + c % 4;
  const int low = (codes[(j & 3) * 64 + within] >> (j >= 4 ? 4 : 0)) & 15;
  const uint8_t* high = codes + kNibbleBytes;
  if (high_bits == 1) return low | ((high[j * 8 + within / 8] >> (within % 8)) & 1) << 4;
  if (high_bits == 2) return low | ((high[(j & 1) * 64 + within] >> (2 * (j >> 1))) & 3) << 4;
  return low;
}

}  // namespace

size_t packed_group_bytes(DType type) {
  switch (type) {
    case DType::kF32:
      return kTileRows * 4;
    case DType::kF16:
    case DType::kBF16:
      return kTileRows * 2;
    case DType::kQ4_0:
      return kNibbleBytes + kHalfRow;
    case DType::kQ4_1:
      return kNibbleBytes + 2 * kHalfRow;
    case DType::kQ5_0:
      return kNibbleBytes + 64 + kHalfRow;
    case DType::kQ5_1:
      return kNibbleBytes + 64 + 2 * kHalfRow;
    case DType::kQ8_0:
      return 2 * kNibbleBytes + kHalfRow;
    case DType::kQ4_K:
      return kNibbleBytes + 2 * kTileRows;
    case DType::kQ5_K:
      return kNibbleBytes + 64 + 2 * kTileRows;
    case DType::kQ6_K:
      return kNibbleBytes + 128 + 2 * kTileRows;
    default:
      break;
  }
  CHECK(false, "type {} is no weight type", dtype_info(type).name);
}

size_t packed_head_bytes(DType type) {
  switch (type) {
    case DType::kQ4_K:
    case DType::kQ5_K:
      return 2 * kHalfRow;
    case DType::kQ6_K:
      return kHalfRow;
    default:
      return 0;
  }
}

size_t PackedMatrix::tile_bytes() const {
  const auto units = static_cast<size_t>(is_float_type(type) ? columns : columns / kGroup);
  return units * packed_group_bytes(type) + units / kSuperGroups * packed_head_bytes(type);
}

void unpack_row(const PackedMatrix& matrix, int64_t row, float* out) {
  const DType type = matrix.type;
  const int64_t lane = row % kTileRows;
  const uint8_t* tile = matrix.data + static_cast<size_t>(row / kTileRows) * matrix.tile_bytes();
  const size_t unit = packed_group_bytes(type), head = packed_head_bytes(type);
  if (is_float_type(type)) {
    for (int64_t c = 0; c < matrix.columns; ++c) {
      const uint8_t* at = tile + static_cast<size_t>(c) * unit;
      if (type == DType::kF32)
        std::memcpy(&out[c], at + 4 * lane, 4);
      else if (type == DType::kF16)
        out[c] = load_half(at, lane);
      else
        out[c] = bf16_to_f32(load_u16(at + 2 * lane));
    }
    return;
  }
  const int high_bits = type == DType::kQ6_K                                                   ? 2
                        : type == DType::kQ5_0 || type == DType::kQ5_1 || type == DType::kQ5_K ? 1
                                                                                               : 0;
  const uint8_t *at = tile, *super = tile;
  for (int64_t g = 0; g < matrix.columns / kGroup; ++g, at += unit) {
    if (head > 0 && g % kSuperGroups == 0) super = at, at += head;
    for (int c = 0; c < kGroup; ++c) {
      float& value = out[g * kGroup + c];
      switch (type) {
        case DType::kQ4_0:
          value =
              static_cast<float>(code_at(at, lane, c, 0) - 8) * load_half(at + kNibbleBytes, lane);
          break;
        case DType::kQ5_0:
          value = static_cast<float>(code_at(at, lane, c, 1) - 16) *
                  load_half(at + kNibbleBytes + 64, lane);
          break;
        case DType::kQ4_1:
        case DType::kQ5_1: {
          const uint8_t* scales = at + kNibbleBytes + (high_bits == 1 ? 64 : 0);
          const float product =
              static_cast<float>(code_at(at, lane, c, high_bits)) * load_half(scales, lane);
          value = product + load_half(scales + kHalfRow, lane);
          break;
        }
        case DType::kQ8_0:
          value = static_cast<float>(at[c / 4 * 64 + lane * 4 + c % 4] - 128) *
                  load_half(at + 2 * kNibbleBytes, lane);
          break;
        case DType::kQ4_K:
        case DType::kQ5_K: {
          const float scale = load_half(super, lane) * static_cast<float>(at[lane]);
          const float minimum =
              load_half(super + kHalfRow, lane) * static_cast<float>(at[kTileRows + lane]);
          const float product =
              static_cast<float>(code_at(at + 2 * kTileRows, lane, c, high_bits)) * scale;
          value = product - minimum;
          break;
        }
        default: {  // Q6_K
          const auto sc = static_cast<int8_t>(at[(c / 16) * kTileRows + lane]);
          const float scale = load_half(super, lane) * static_cast<float>(sc);
          value = static_cast<float>(code_at(at + 2 * kTileRows, lane, c, 2) - 32) * scale;
        }
      }
    }
  }
}

}  // namespace dspark::compute

// Matrix products by definition. Per scale group in ascending columns: an exact integer dot
// product, then acc = fma(fl(fl(d sc) s_a), float(dot), acc), then with a minimum acc = fma(m,
// fl(s_a sum q), acc).
#include <cmath>
#include <cstring>

#include "compute/ref/ref.h"
#include "tensor/tensor.h"

namespace dspark::compute::ref {
namespace {

constexpr size_t kNibbleBytes = kTileRows * kGroup / 2;

float half_at(const uint8_t* at, int lane) {
  uint16_t bits;
  std::memcpy(&bits, at + 2 * lane, 2);
  return f16_to_f32(bits);
}

// One lane of one group: codes with the constant offset taken off, a scale for each half, a
// minimum.
struct Group {
  int code[kGroup];
  float scale[2];
  float minimum;
  bool has_minimum, has_halves;
};

void read_nibbles(const uint8_t* at, int lane, int high_bits, int offset, Group& group) {
  const uint8_t* high = at + kNibbleBytes;
  for (int c = 0; c < kGroup; ++c) {
    const int j = c / 4, within = lane * 4 + c % 4;
    int code = (at[(j % 4) * 64 + within] >> (j / 4 * 4)) & 15;
    if (high_bits == 1) code += ((high[j * 8 + within / 8] >> (within % 8)) & 1) * 16;
    if (high_bits == 2) code += ((high[(j % 2) * 64 + within] >> (j / 2 * 2)) & 3) * 16;
    group.code[c] = code - offset;
  }
}

void read_group(DType type, const uint8_t* super, const uint8_t* at, int lane, Group& group) {
  group.has_minimum = group.has_halves = false;
  switch (type) {
    case DType::kQ4_0:
      read_nibbles(at, lane, 0, 8, group);
      group.scale[0] = half_at(at + kNibbleBytes, lane);
      return;
    case DType::kQ5_0:
      read_nibbles(at, lane, 1, 16, group);
      group.scale[0] = half_at(at + kNibbleBytes + 64, lane);
      return;
    case DType::kQ4_1:
    case DType::kQ5_1: {
      const bool five = type == DType::kQ5_1;
      read_nibbles(at, lane, five ? 1 : 0, 0, group);
      const uint8_t* scales = at + kNibbleBytes + (five ? 64 : 0);
      group.scale[0] = half_at(scales, lane);
      group.minimum = half_at(scales + 2 * kTileRows, lane);
      group.has_minimum = true;
      return;
    }
    case DType::kQ8_0:
      for (int c = 0; c < kGroup; ++c) group.code[c] = at[c / 4 * 64 + lane * 4 + c % 4] - 128;
      group.scale[0] = half_at(at + 2 * kNibbleBytes, lane);
      return;
    case DType::kQ4_K:
    case DType::kQ5_K:
      read_nibbles(at + 2 * kTileRows, lane, type == DType::kQ5_K ? 1 : 0, 0, group);
      group.scale[0] = half_at(super, lane) * static_cast<float>(at[lane]);
      group.minimum =
          -(half_at(super + 2 * kTileRows, lane) * static_cast<float>(at[kTileRows + lane]));
      group.has_minimum = true;
      return;
    default:  // Q6_K
      read_nibbles(at + 2 * kTileRows, lane, 2, 32, group);
      for (int half = 0; half < 2; ++half)
        group.scale[half] = half_at(super, lane) *
                            static_cast<float>(static_cast<int8_t>(at[half * kTileRows + lane]));
      group.has_halves = true;
  }
}

float accumulate(const Group& w, const ActivationGroup& x, float acc) {
  int dot[2] = {0, 0};
  for (int c = 0; c < kGroup; ++c) dot[c / 16] += w.code[c] * x.q[c];
  if (w.has_halves) {
    acc = std::fma(w.scale[0] * x.scale, static_cast<float>(dot[0]), acc);
    return std::fma(w.scale[1] * x.scale, static_cast<float>(dot[1]), acc);
  }
  acc = std::fma(w.scale[0] * x.scale, static_cast<float>(dot[0] + dot[1]), acc);
  return w.has_minimum ? std::fma(w.minimum, x.sum, acc) : acc;
}

float weight_at(DType type, const uint8_t* column, int lane) {
  float value;
  uint16_t bits;
  if (type == DType::kF32) {
    std::memcpy(&value, column + 4 * lane, 4);
    return value;
  }
  std::memcpy(&bits, column + 2 * lane, 2);
  return type == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

// One output lane for the rows of a block.
void product(const PackedMatrix& w, const uint8_t* tile, int lane, const ActivationView& x,
             int first, int rows, float* acc) {
  const size_t unit = packed_group_bytes(w.type), head = packed_head_bytes(w.type);
  for (int r = 0; r < rows; ++r) acc[r] = 0;
  if (is_float_type(w.type)) {
    const float* column = x.floats + first * x.columns;
    for (int64_t c = 0; c < w.columns; ++c, tile += unit, column += rows)
      for (int r = 0; r < rows; ++r)
        acc[r] = std::fma(weight_at(w.type, tile, lane), column[r], acc[r]);
    return;
  }
  const ActivationGroup* column = x.groups + first * (x.columns / kGroup);
  const uint8_t* super = tile;
  for (int64_t g = 0; g < w.columns / kGroup; ++g, tile += unit, column += rows) {
    if (head > 0 && g % kSuperGroups == 0) super = tile, tile += head;
    Group group;
    read_group(w.type, super, tile, lane, group);
    for (int r = 0; r < rows; ++r) acc[r] = accumulate(group, column[r], acc[r]);
  }
}

}  // namespace

void matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin, int64_t tile_end,
            float* out, int64_t out_stride) {
  for (int64_t t = tile_begin; t < tile_end; ++t)
    for (int first = 0; first < x.rows; first += kBlockRows) {
      const int rows = x.rows - first < kBlockRows ? x.rows - first : kBlockRows;
      for (int lane = 0; lane < kTileRows; ++lane) {
        float acc[kBlockRows];
        product(w, w.data + static_cast<size_t>(t) * w.tile_bytes(), lane, x, first, rows, acc);
        for (int r = 0; r < rows; ++r)
          out[(first + r) * out_stride + t * kTileRows + lane] = acc[r];
      }
    }
}

}  // namespace dspark::compute::ref

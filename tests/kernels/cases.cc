#include "kernels/cases.h"

#include <cstring>

#include "base/base.h"

namespace dspark::compute::testing {
namespace {

void put_half(uint8_t* at, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(at, &bits, 2);
}

// Offsets of the float16 scales inside a stored block, -1 for none.
struct ScalePlaces {
  int first, second;
};
ScalePlaces scale_places(DType type) {
  switch (type) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ6_K:
      return {208, -1};
    default:
      return {0, -1};
  }
}

}  // namespace

std::vector<uint8_t> stored_rows(const MatmulCase& c, Fill fill, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto values = static_cast<size_t>(c.outputs * c.inputs);
  std::vector<uint8_t> bytes(dtype_bytes(c.type, values));
  if (is_float_type(c.type)) {
    std::normal_distribution<float> normal(0, 0.05f);
    for (size_t i = 0; i < values; ++i) {
      const float v = normal(random);
      const uint16_t half = c.type == DType::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
      if (c.type == DType::kF32)
        std::memcpy(&bytes[4 * i], &v, 4);
      else
        std::memcpy(&bytes[2 * i], &half, 2);
    }
    return bytes;
  }
  // Extremes: whole blocks of zero bits or of one bits (maximum codes and sub-scales; -1 in 8
  // bits), 0x80 (-128) and alternations of them.
  static constexpr uint8_t kPatterns[] = {0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0};
  const auto block = static_cast<size_t>(dtype_info(c.type).block_bytes);
  const ScalePlaces places = scale_places(c.type);
  for (size_t at = 0; at < bytes.size(); at += block) {
    const uint8_t pattern = kPatterns[random() % 6], other = kPatterns[random() % 6];
    for (size_t i = 0; i < block; ++i)
      bytes[at + i] = fill == Fill::kRandom ? static_cast<uint8_t>(random())
                                            : (random() % 8 == 0 ? other : pattern);
    const float scale = static_cast<float>(random() % 1000) * 1e-5f - 0.005f;
    put_half(&bytes[at + static_cast<size_t>(places.first)], scale);
    if (places.second >= 0)
      put_half(&bytes[at + static_cast<size_t>(places.second)], scale * -3.7f);
  }
  return bytes;
}

PackedMatrix packed(const MatmulCase& c, const std::vector<uint8_t>& stored,
                    AlignedBuffer& storage) {
  PackedMatrix matrix{c.type, c.outputs, c.inputs, nullptr};
  storage = AlignedBuffer(matrix.bytes());
  matrix.data = storage.data();
  const size_t row_bytes = dtype_bytes(c.type, static_cast<size_t>(c.inputs));
  for (int64_t t = 0; t < matrix.tiles(); ++t) {
    const uint8_t* rows[kTileRows];
    for (int lane = 0; lane < kTileRows; ++lane) {
      const int64_t row = t * kTileRows + lane;
      rows[lane] = row < c.outputs ? stored.data() + static_cast<size_t>(row) * row_bytes : nullptr;
    }
    CHECK(pack_tile(c.type, rows, c.inputs,
                    storage.data() + static_cast<size_t>(t) * matrix.tile_bytes()));
  }
  return matrix;
}

std::vector<float> inputs(const MatmulCase& c, Fill fill, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(static_cast<size_t>(c.rows * c.inputs));
  for (float& v : x) v = fill == Fill::kRandom ? normal(random) : (random() % 2 ? 3.5f : -3.5f);
  if (fill == Fill::kRandom)  // a block of zeros and one of a single large value
    for (size_t i = 0; i < 64 && i < x.size(); ++i) x[i] = i == 40 ? 300.0f : 0.0f;
  return x;
}

void prepare(const Kernels& kernels, const MatmulCase& c, const std::vector<float>& x,
             Activations& out) {
  out.reshape(c.rows, c.inputs);
  for (int r = 0; r < c.rows; ++r) {
    const float* row = x.data() + static_cast<size_t>(r) * static_cast<size_t>(c.inputs);
    CHECK(kernels.quantise(row, c.inputs / kGroup, out.group(r, 0), out.group_stride(r)));
    out.set_floats(r, 0, c.inputs, row);
  }
}

}  // namespace dspark::compute::testing

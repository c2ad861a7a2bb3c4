// One table of matrix-product cases for correctness (kernels_test.cc) and speed
// (bench/kernel_speed.cc).
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "compute/compute.h"

namespace dspark::compute::testing {

struct MatmulCase {
  DType type;
  int64_t outputs, inputs;
  int rows;
};

inline const std::vector<DType>& weight_types() {
  static const std::vector<DType> types{DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0,
                                        DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                                        DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
  return types;
}

// Every type at widths that take every path: each row count, a ragged last tile, more than one
// block.
inline std::vector<MatmulCase> matmul_cases() {
  std::vector<MatmulCase> cases;
  for (DType type : weight_types()) {
    for (int rows = 1; rows <= 16; ++rows) cases.push_back({type, 80, 512, rows});
    for (int rows : {17, 33, 50}) cases.push_back({type, 33, 256, rows});
  }
  return cases;
}

// The shapes of the default model's step, for speed.
inline std::vector<MatmulCase> speed_cases(const std::vector<int>& widths) {
  std::vector<MatmulCase> cases;
  for (DType type : weight_types())
    for (int rows : widths) cases.push_back({type, 6144, 1536, rows});
  return cases;
}

// How the stored bytes of a matrix are filled.
enum class Fill {
  kRandom,    // random codes, plausible scales
  kExtremes,  // codes 0, maximum (and -128 for 8-bit), the largest scales of K-quants
};

// Stored rows of a case: [outputs][inputs] in the type's own blocks.
std::vector<uint8_t> stored_rows(const MatmulCase& c, Fill fill, uint64_t seed);
// Packed; storage keeps the bytes.
PackedMatrix packed(const MatmulCase& c, const std::vector<uint8_t>& stored,
                    AlignedBuffer& storage);

// rows x inputs floats; extremes: every block's values are +-amax, so that q is +-127.
std::vector<float> inputs(const MatmulCase& c, Fill fill, uint64_t seed);
// Both forms of the inputs, by the kernels given.
void prepare(const Kernels& kernels, const MatmulCase& c, const std::vector<float>& x,
             Activations& out);

}  // namespace dspark::compute::testing

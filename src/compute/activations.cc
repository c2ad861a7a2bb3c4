#include "compute/activations.h"

#include <cmath>

#include "base/base.h"

namespace dspark::compute {

Activations::Activations(int max_rows, int64_t max_columns)
    : quantised_(static_cast<size_t>(max_rows) * static_cast<size_t>(max_columns / 32 + 1) *
                 sizeof(ActivationGroup)),
      floats_(static_cast<size_t>(max_rows) * static_cast<size_t>(max_columns) * sizeof(float)) {}

void Activations::reshape(int rows, int64_t columns) {
  rows_ = rows;
  columns_ = columns;
  CHECK(static_cast<size_t>(rows) * static_cast<size_t>(columns) * sizeof(float) <= floats_.size(),
        "{} x {}", rows, columns);
}

bool Activations::set_floats(int row, int64_t begin, int64_t end, const float* x) {
  const int block = row / kBlockRows, stride = block_rows(block);
  float* out = floats_.as<float>() + block * kBlockRows * columns_ + row % kBlockRows;
  bool finite = true;
  for (int64_t c = begin; c < end; ++c) {
    out[c * stride] = x[c - begin];
    finite &= std::isfinite(x[c - begin]);
  }
  return finite;
}

}  // namespace dspark::compute

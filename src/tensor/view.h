// A stored tensor, not owned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace dspark {

// Row-major: shape is [outermost, ..., innermost]; a matrix is [rows = outputs, columns = inputs].
struct TensorView {
  std::string name;
  DType type = DType::kF32;
  std::vector<int64_t> shape;
  const uint8_t* data = nullptr;  // unaligned
  size_t bytes = 0;

  int64_t rows() const { return shape.size() < 2 ? 1 : shape[0]; }
  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t values() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

}  // namespace dspark

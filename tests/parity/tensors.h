// Tensors of the fixtures.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "formats/formats.h"

namespace dspark::parity {

inline constexpr double kTolerance = 1e-4;  // absolute, as the fixtures' README says

inline std::vector<float> tensor(const formats::Safetensors& file, const std::string& name) {
  const TensorView* view = file.find(name);
  CHECK(view != nullptr, "{}: no tensor {}", file.name(), name);
  std::vector<float> values(static_cast<size_t>(view->values()));
  dequantise(view->type, view->data, values.data(), values.size());
  return values;
}

inline std::vector<int32_t> int_tensor(const formats::Safetensors& file, const std::string& name) {
  const TensorView* view = file.find(name);
  CHECK(view != nullptr && view->type == DType::kI32, "{}: no tensor {}", file.name(), name);
  std::vector<int32_t> ids(static_cast<size_t>(view->values()));
  std::copy_n(view->data, view->bytes, reinterpret_cast<uint8_t*>(ids.data()));
  return ids;
}

inline double largest_difference(const float* a, const float* b, size_t n) {
  double most = 0;
  for (size_t i = 0; i < n; ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - b[i]);
    most = d <= most ? most : d;  // NaN counts as more
  }
  return most;
}

}  // namespace dspark::parity

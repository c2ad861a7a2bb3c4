// The names that safetensors gives to element types.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace dspark::formats {

std::optional<DType> dtype_from_safetensors(std::string_view name);
std::optional<std::string_view> safetensors_from_dtype(DType type);  // empty for quantised types
std::string safetensors_type_list();                                 // for messages

}  // namespace dspark::formats

#include "formats/safetensors_types.h"

namespace dspark::formats {
namespace {

struct TypeName {
  DType type;
  std::string_view name;
};

constexpr TypeName kTypeNames[] = {
    {DType::kF32, "F32"}, {DType::kF16, "F16"}, {DType::kBF16, "BF16"},
    {DType::kI8, "I8"},   {DType::kU8, "U8"},   {DType::kI16, "I16"},
    {DType::kI32, "I32"}, {DType::kI64, "I64"}, {DType::kBool, "BOOL"},
};

}  // namespace

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const TypeName& entry : kTypeNames)
    if (entry.name == name) return entry.type;
  return std::nullopt;
}

std::optional<std::string_view> safetensors_from_dtype(DType type) {
  for (const TypeName& entry : kTypeNames)
    if (entry.type == type) return entry.name;
  return std::nullopt;
}

std::string safetensors_type_list() {
  std::string list;
  for (const TypeName& entry : kTypeNames) {
    if (!list.empty()) list += ", ";
    list += entry.name;
  }
  return list;
}

}  // namespace dspark::formats

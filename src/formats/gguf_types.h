// The numbers that GGUF gives to element types and metadata kinds.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/tensor.h"

namespace dspark::formats {

constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kGgufDefaultAlignment = 32;
constexpr uint32_t kGgufMaxDimensions = 4;
constexpr uint64_t kGgufMaxKeyBytes = 65535;
constexpr uint64_t kGgufMaxNameBytes = 1024;

enum class GgufKind : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

std::optional<DType> dtype_from_gguf(uint32_t id);
std::optional<uint32_t> gguf_from_dtype(DType type);  // empty for types that GGUF lacks

// The name of a tensor type that GGUF defines, readable here or not; "unknown" for any other
// number.
std::string_view gguf_type_name(uint32_t id);

// Bytes of one value of a kind in the file; 0 for strings, arrays and kinds that GGUF does not
// define.
uint64_t gguf_kind_bytes(GgufKind kind);

}  // namespace dspark::formats

// Element types of stored tensors. Quantised types are stored in blocks of values along the last
// dimension.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dspark {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,  // blocks of 32
  kQ4_K,
  kQ5_K,
  kQ6_K,  // blocks of 256
  kI8,
  kU8,
  kI16,
  kI32,
  kI64,
  kBool,  // never weights: ids, masks, maps
};

struct DTypeInfo {
  std::string_view name;  // "f32", "q4_1", "q4_k", ...: what the command line takes and prints
  int block_values;       // values in a block; 1 for plain types
  int block_bytes;        // bytes of a block
  bool is_weight;         // may be a matrix's type
};

const DTypeInfo& dtype_info(DType type);
std::optional<DType> dtype_from_name(std::string_view name);  // case-insensitive

inline bool is_quantised(DType type) { return dtype_info(type).block_values > 1; }

// Bytes of n values, n a multiple of the type's block_values.
size_t dtype_bytes(DType type, size_t n);

}  // namespace dspark

#include "formats/gguf_types.h"

#include <iterator>

namespace dspark::formats {
namespace {

struct TypeId {
  uint32_t id;
  DType type;
};

constexpr TypeId kReadable[] = {
    {0, DType::kF32},   {1, DType::kF16},   {2, DType::kQ4_0},  {3, DType::kQ4_1},
    {6, DType::kQ5_0},  {7, DType::kQ5_1},  {8, DType::kQ8_0},  {12, DType::kQ4_K},
    {13, DType::kQ5_K}, {14, DType::kQ6_K}, {24, DType::kI8},   {25, DType::kI16},
    {26, DType::kI32},  {27, DType::kI64},  {30, DType::kBF16},
};

constexpr std::string_view kNames[] = {
    "f32",   "f16",        "q4_0",       "q4_1",       "q4_2",     "q4_3",     "q5_0",
    "q5_1",  "q8_0",       "q8_1",       "q2_k",       "q3_k",     "q4_k",     "q5_k",
    "q6_k",  "q8_k",       "iq2_xxs",    "iq2_xs",     "iq3_xxs",  "iq1_s",    "iq4_nl",
    "iq3_s", "iq2_s",      "iq4_xs",     "i8",         "i16",      "i32",      "i64",
    "f64",   "iq1_m",      "bf16",       "q4_0_4_4",   "q4_0_4_8", "q4_0_8_8", "tq1_0",
    "tq2_0", "iq4_nl_4_4", "iq4_nl_4_8", "iq4_nl_8_8", "mxfp4",
};

}  // namespace

std::optional<DType> dtype_from_gguf(uint32_t id) {
  for (const TypeId& entry : kReadable)
    if (entry.id == id) return entry.type;
  return std::nullopt;
}

std::optional<uint32_t> gguf_from_dtype(DType type) {
  for (const TypeId& entry : kReadable)
    if (entry.type == type) return entry.id;
  return std::nullopt;
}

std::string_view gguf_type_name(uint32_t id) {
  return id < std::size(kNames) ? kNames[id] : "unknown";
}

uint64_t gguf_kind_bytes(GgufKind kind) {
  switch (kind) {
    case GgufKind::kU8:
    case GgufKind::kI8:
    case GgufKind::kBool:
      return 1;
    case GgufKind::kU16:
    case GgufKind::kI16:
      return 2;
    case GgufKind::kU32:
    case GgufKind::kI32:
    case GgufKind::kF32:
      return 4;
    case GgufKind::kU64:
    case GgufKind::kI64:
    case GgufKind::kF64:
      return 8;
    default:
      return 0;
  }
}

}  // namespace dspark::formats

#include "tensor/dtype.h"

#include <array>
#include <cctype>

#include "base/base.h"

namespace dspark {
namespace {

// In the order of DType.
constexpr std::array<DTypeInfo, 17> kTypes = {{
    {"f32", 1, 4, true},
    {"f16", 1, 2, true},
    {"bf16", 1, 2, true},
    {"q4_0", 32, 18, true},
    {"q4_1", 32, 20, true},
    {"q5_0", 32, 22, true},
    {"q5_1", 32, 24, true},
    {"q8_0", 32, 34, true},
    {"q4_k", 256, 144, true},
    {"q5_k", 256, 176, true},
    {"q6_k", 256, 210, true},
    {"i8", 1, 1, false},
    {"u8", 1, 1, false},
    {"i16", 1, 2, false},
    {"i32", 1, 4, false},
    {"i64", 1, 8, false},
    {"bool", 1, 1, false},
}};
static_assert(static_cast<size_t>(DType::kBool) + 1 == kTypes.size());

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(a[i])) !=
        std::tolower(static_cast<unsigned char>(b[i])))
      return false;
  }
  return true;
}

}  // namespace

const DTypeInfo& dtype_info(DType type) {
  const auto index = static_cast<size_t>(type);
  CHECK(index < kTypes.size(), "element type {}", index);
  return kTypes[index];
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kTypes.size(); ++i)
    if (equal_ignoring_case(name, kTypes[i].name)) return static_cast<DType>(i);
  return std::nullopt;
}

size_t dtype_bytes(DType type, size_t n) {
  const DTypeInfo& info = dtype_info(type);
  const auto values = static_cast<size_t>(info.block_values);
  CHECK(n % values == 0, "{} values of {}, whose blocks hold {}", n, info.name, values);
  return n / values * static_cast<size_t>(info.block_bytes);
}

}  // namespace dspark

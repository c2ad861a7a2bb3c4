// Reading a fixture's JSON.
#pragma once

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/base.h"

namespace dspark::parity {

inline nlohmann::json read_json(const std::filesystem::path& path) {
  const auto text = read_file(path, size_t{1} << 28);
  CHECK(text.ok(), "{}", text.message());
  return nlohmann::json::parse(text.value());
}

// null stands for undefined.
inline bool near(const std::optional<double>& got, const nlohmann::json& want, double tolerance) {
  if (want.is_null() || !got) return want.is_null() && !got;
  return std::fabs(*got - want.get<double>()) <= tolerance;
}

}  // namespace dspark::parity

// Private to the drafters' files: what every form's reader must have made sure of.
#pragma once

#include <algorithm>
#include <cstdint>

#include "draft/drafter_file.h"

namespace dspark::draft {

constexpr int64_t kMaxBlock = 64;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxRank = 1 << 14;
constexpr int64_t kMaxTaps = 64;

// Too large stays too large: the checks refuse it later, by name.
inline int narrowed(int64_t value) {
  return static_cast<int>(std::clamp<int64_t>(value, -(int64_t{1} << 30), int64_t{1} << 30));
}

// Sizes within bounds, taps ascending and within the target, ids within the vocabulary, heads that
// go together. The decoder's own numbers are checked before (model::check_spec). An error names
// `file`.
Status check_config(const DrafterConfig& config, const std::string& file);

}  // namespace dspark::draft

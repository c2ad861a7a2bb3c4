// Rows that could not be used: how many, and what was wrong with the first of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dspark::learn {

// A longer line is no row, and must not fill the memory.
inline constexpr size_t kMaxRowBytes = size_t{64} << 20;

struct Faults {
  static constexpr size_t kKept = 20;

  int64_t count = 0;
  std::vector<std::string> first;  // at most kKept; each names file, line and what was expected

  void add(std::string message) {
    if (first.size() < kKept) first.push_back(std::move(message));
    ++count;
  }
};

}  // namespace dspark::learn

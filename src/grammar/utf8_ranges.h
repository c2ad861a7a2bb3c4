// Private to the room grammar: ranges of characters as ranges of bytes.
#pragma once

#include <array>
#include <vector>

#include "grammar/expression.h"

namespace dspark::grammar {

// The UTF-8 texts b[0] b[1] ... with each byte within its range.
struct ByteRanges {
  struct Range {
    uint8_t first, last;
  };
  std::array<Range, 4> bytes;
  int length;
};

// All characters of the range (no surrogates in it), each in exactly one of the result.
std::vector<ByteRanges> utf8_ranges(CharRange range);

}  // namespace dspark::grammar

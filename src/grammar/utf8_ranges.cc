#include "grammar/utf8_ranges.h"

#include <algorithm>

#include "tokenizer/tokenizer.h"

namespace dspark::grammar {
namespace {

constexpr uint32_t kLastOfLength[] = {0x7f, 0x7ff, 0xffff, 0x10ffff};

// first and last have `length` bytes. Cut until the bytes behind the first that differs span
// everything: then ranges of single bytes say all. A byte behind the first has 6 bits.
void add(uint32_t first, uint32_t last, int length, std::vector<ByteRanges>& out) {
  for (int k = 1; k < length; ++k) {
    const uint32_t low = (uint32_t{1} << (6 * k)) - 1;
    if ((first & ~low) == (last & ~low)) break;
    if ((first & low) != 0) {
      add(first, first | low, length, out);
      return add((first | low) + 1, last, length, out);
    }
    if ((last & low) != low) {
      add(first, (last & ~low) - 1, length, out);
      return add(last & ~low, last, length, out);
    }
  }
  std::string from, to;
  tokenizer::append_utf8(first, from);
  tokenizer::append_utf8(last, to);
  ByteRanges ranges{{}, length};
  for (size_t i = 0; i < from.size(); ++i)
    ranges.bytes[i] = {static_cast<uint8_t>(from[i]), static_cast<uint8_t>(to[i])};
  out.push_back(ranges);
}

}  // namespace

std::vector<ByteRanges> utf8_ranges(CharRange range) {
  std::vector<ByteRanges> out;
  uint32_t first = range.first;
  for (int length = 1; length <= 4 && first <= range.last; ++length) {
    const uint32_t limit = kLastOfLength[length - 1];
    if (first > limit) continue;
    add(first, std::min(range.last, limit), length, out);
    first = limit + 1;
  }
  return out;
}

}  // namespace dspark::grammar

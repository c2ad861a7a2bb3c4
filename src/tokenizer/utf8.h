// UTF-8 as the tokenizer meets it: from anywhere, perhaps broken.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dspark::tokenizer {

// The character at text[0]; length 0 when the bytes there are no valid character.
struct Utf8Char {
  uint32_t code_point;
  int length;
};
Utf8Char read_utf8(std::string_view text);

// Bytes at text[0] that begin a character without finishing it validly: 1 to 3. complete: nothing
// that follows could make a character of them (otherwise text ends too early). Only where read_utf8
// gives length 0.
struct BrokenUtf8 {
  int length;
  bool complete;
};
BrokenUtf8 read_broken_utf8(std::string_view text);

void append_utf8(uint32_t code_point, std::string& text);

// For messages: quoted, unprintable bytes escaped, cut at 60.
std::string in_quotes(std::string_view text);

}  // namespace dspark::tokenizer

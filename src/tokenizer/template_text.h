// Text as Python sees it: code points, case, white space, repr and JSON. Any bytes are accepted: a
// character is a byte that is not an UTF-8 continuation byte and the continuation bytes after it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tokenizer/template_value.h"

namespace dspark::tokenizer::jinja {

size_t count_chars(std::string_view text);
// The byte where character number `chars` starts; text.size() past the end.
size_t byte_offset(std::string_view text, size_t chars);
void append_utf8(std::string& out, uint32_t code_point);
// The code point a character spells; U+FFFD when it is not UTF-8.
uint32_t code_point(std::string_view character);

class CharReader {
 public:
  explicit CharReader(std::string_view text) : text_(text) {}
  bool done() const { return text_.empty(); }
  std::string_view next();

 private:
  std::string_view text_;
};

bool is_space(uint32_t code_point);
enum Sides { kLeft = 1, kRight = 2, kBoth = 3 };
// Without white-space characters at the sides, or without those in `characters`.
std::string_view strip(std::string_view text, Sides sides);
std::string_view strip(std::string_view text, Sides sides, std::string_view characters);

// Linear in both sizes, whatever the texts. npos when absent.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);
size_t rfind_text(std::string_view text, std::string_view needle);

// Unicode's simple case mappings, and ß to SS.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalize(std::string_view text);
// Every `old`, or the first `most` when that is not negative. Raises before it makes too long a
// text.
std::string replace_text(std::string_view text, std::string_view old, std::string_view with,
                         int64_t most, Budget& budget);
// Filled up to `width` characters at the given sides.
std::string pad_text(std::string_view text, int64_t width, std::string_view fill, int sides,
                     Budget& budget);
enum class CharClass { kAlpha, kDigit, kAlnum, kWord, kUnprintable, kUpper, kLower };
bool in_class(std::string_view character, CharClass char_class);

// Python's repr of a float: the shortest digits that read back the same.
std::string float_repr(double value);
// Python's str() and repr(). Raise for values without a stable text (generators, functions).
void append_str(std::string& out, const Value& value, Budget& budget);
void append_repr(std::string& out, const Value& value, Budget& budget);
std::string to_str(const Value& value, Budget& budget);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool multiline = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps(). Raises for values that JSON can't hold.
std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace dspark::tokenizer::jinja

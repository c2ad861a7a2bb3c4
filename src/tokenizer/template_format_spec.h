// Private to the formats: Python's format specifications, which both of its formatting languages
// come down to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/template_value.h"

namespace dspark::tokenizer::jinja {

// [[fill]align][sign][#][0][width][,][.precision][type]
struct FormatSpec {
  std::string_view fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';
  bool alternate = false, thousands = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
  char type = '\0';
};

constexpr int64_t kMostPrecision = 100;

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
// The number at text[at], which becomes the place after it. Raises when there is none or it is too
// large.
int64_t read_number(std::string_view text, size_t& at);

// A number's sign and digits, filled between them where the alignment is '='. Raises when the type
// does not fit.
std::string format_number(const Value& value, const FormatSpec& spec, Budget& budget);

// value in the format that `text` specifies.
std::string format_value(const Value& value, std::string_view text, Budget& budget);

}  // namespace dspark::tokenizer::jinja

#include "tokenizer/template_format_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;

std::string group_thousands(const std::string& digits) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out + digits.substr(whole);
}

std::string format_float(double value, char type, int precision) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return "inf";
  switch (type) {
    case 'e':
      return fmt::format("{:.{}e}", value, precision);
    case 'E':
      return fmt::format("{:.{}E}", value, precision);
    case 'g':
      return fmt::format("{:.{}g}", value, std::max(precision, 1));
    case 'G':
      return fmt::format("{:.{}G}", value, std::max(precision, 1));
    case '%':
      return fmt::format("{:.{}f}%", value * 100, precision);
    default:
      return fmt::format("{:.{}f}", value, precision);
  }
}

std::string format_integer(uint64_t magnitude, const FormatSpec& spec) {
  const std::string prefix = spec.alternate && spec.type != 'd' ? std::string{'0', spec.type} : "";
  switch (spec.type) {
    case 'x':
      return prefix + fmt::format("{:x}", magnitude);
    case 'X':
      return prefix + fmt::format("{:X}", magnitude);
    case 'o':
      return prefix + fmt::format("{:o}", magnitude);
    case 'b':
      return prefix + fmt::format("{:b}", magnitude);
    default:
      return fmt::format("{}", magnitude);
  }
}

FormatSpec parse_spec(std::string_view text) {
  FormatSpec spec;
  size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t first = byte_offset(text, 1);
  if (!text.empty() && first < text.size() && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    at = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[at++];
  }
  const auto take = [&](char c) { return at < text.size() && text[at] == c && ++at; };
  if (at < text.size() && std::string_view("+- ").find(text[at]) != std::string_view::npos)
    spec.sign = text[at++];
  spec.alternate = take('#');
  if (take('0') && spec.align == '\0') {
    spec.fill = "0";
    spec.align = '=';
  }
  if (at < text.size() && is_digit(text[at])) spec.width = read_number(text, at);
  spec.thousands = take(',');
  if (take('.')) {
    if (at == text.size() || !is_digit(text[at])) raise("a format lacks its precision");
    spec.precision = read_number(text, at);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) raise("the format '{}' is not supported", text);
  return spec;
}

}  // namespace

int64_t read_number(std::string_view text, size_t& at) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + at, end, value);
  if (read.ec != std::errc{}) raise("a format has the impossible number in '{}'", text);
  at = static_cast<size_t>(read.ptr - text.data());
  return value;
}

std::string format_number(const Value& value, const FormatSpec& spec, Budget& budget) {
  std::string digits;
  bool negative = false;
  const bool as_integer =
      value.is_integral() && std::string_view("dxXob").find(spec.type) != std::string_view::npos;
  if (as_integer) {
    if (spec.precision) raise("a format has a precision for an integer");
    negative = value.as_int() < 0;
    const auto bits = static_cast<uint64_t>(value.as_int());
    digits = format_integer(negative ? 0 - bits : bits, spec);
  } else {
    if (std::string_view("fFeEgG%").find(spec.type) == std::string_view::npos)
      raise("the format type '{}' does not fit a '{}'", spec.type, value.type_name());
    const double number = value.as_float();
    negative = std::signbit(number) && !std::isnan(number);
    digits =
        format_float(std::abs(number), spec.type, static_cast<int>(spec.precision.value_or(6)));
  }
  if (spec.thousands) digits = group_thousands(digits);
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  if (spec.align == '=') {
    const auto width = spec.width - static_cast<int64_t>(sign.size());
    return sign + pad_text(digits, width, spec.fill, kLeft, budget);
  }
  return sign + digits;
}

std::string format_value(const Value& value, std::string_view text, Budget& budget) {
  if (text.empty()) return to_str(value, budget);
  FormatSpec spec = parse_spec(text);
  const bool is_text = value.is(Kind::kString) || (value.is(Kind::kBool) && spec.type == '\0');
  if (!is_text && !value.is_number()) raise("a '{}' takes no format '{}'", value.type_name(), text);
  std::string out;
  char align = spec.align;
  if (is_text) {
    if ((spec.type != '\0' && spec.type != 's') || spec.align == '=')
      raise("the format '{}' does not fit a string", text);
    out = to_str(value, budget);
    if (spec.precision) out.resize(byte_offset(out, static_cast<size_t>(*spec.precision)));
    if (align == '\0') align = '<';
  } else {
    if (spec.precision.value_or(0) > kMostPrecision)
      raise("a precision of more than {}", kMostPrecision);
    if (spec.type == '\0') {
      if (value.is(Kind::kFloat) && !spec.precision) {
        if (spec.align == '=' || spec.thousands || spec.sign != '-')
          raise("the format '{}' needs a type for a float", text);
        out = float_repr(value.as_float());
      } else {
        spec.type = value.is(Kind::kFloat) ? 'g' : 'd';
      }
    }
    if (spec.type != '\0') out = format_number(value, spec, budget);
    if (align == '\0' || align == '=') align = '>';
  }
  const int sides = align == '<' ? kRight : align == '>' ? kLeft : kBoth;
  if (sides == kBoth) {  // format() centres to the left, unlike str.center
    const auto chars = static_cast<int64_t>(count_chars(out));
    const int64_t missing = std::max<int64_t>(spec.width - chars, 0);
    out = pad_text(out, chars + missing / 2, spec.fill, kLeft, budget);
  }
  return pad_text(out, spec.width, spec.fill, sides == kLeft ? kLeft : kRight, budget);
}

}  // namespace dspark::tokenizer::jinja

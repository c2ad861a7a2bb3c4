// Python's two string formatting languages, and dates.
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;
constexpr int64_t kMostPrecision = 100;

struct Spec {
  std::string_view fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';
  bool alternate = false, thousands = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
  char type = '\0';
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int64_t read_number(std::string_view text, size_t& at) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + at, end, value);
  if (read.ec != std::errc{}) raise("a format has the impossible number in '{}'", text);
  at = static_cast<size_t>(read.ptr - text.data());
  return value;
}

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

std::string format_integer(uint64_t magnitude, const Spec& spec) {
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

// Sign, digits and fill of a number.
std::string format_number(const Value& value, const Spec& spec, Budget& budget) {
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

Spec parse_spec(std::string_view text) {
  Spec spec;
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

std::string format_spec(const Value& value, std::string_view text, Budget& budget) {
  if (text.empty()) return to_str(value, budget);
  Spec spec = parse_spec(text);
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

namespace {

// Python has a format's fields numbered by hand or by count, not both.
struct Numbering {
  size_t next = 0;
  bool by_hand = false;
};

// One {field} of str.format: name[.attribute|[key]]*[!conversion][:spec].
std::string format_field(std::string_view field, const Arguments& arguments, Numbering& numbering,
                         Budget& budget) {
  const size_t colon = field.find(':');
  const std::string_view spec = colon == field.npos ? "" : field.substr(colon + 1);
  if (spec.find('{') != spec.npos) raise("nested format fields are not supported");
  std::string_view path = field.substr(0, colon);
  char conversion = 's';
  const size_t bang = path.find('!');
  if (bang != path.npos) {
    if (bang + 2 != path.size() || (path[bang + 1] != 's' && path[bang + 1] != 'r'))
      raise("the conversion in '{{{}}}' is not supported", field);
    conversion = path[bang + 1];
    path = path.substr(0, bang);
  }
  const size_t end = std::min(path.find_first_of(".["), path.size());
  const std::string_view name = path.substr(0, end);
  Value value;
  if (name.empty() || is_digit(name[0])) {
    size_t at = 0;
    if (name.empty() ? numbering.by_hand : numbering.next > 0)
      raise("a format mixes numbered and unnumbered fields");
    numbering.by_hand = !name.empty();
    const size_t index =
        name.empty() ? numbering.next++ : static_cast<size_t>(read_number(name, at));
    if (index >= arguments.positional.size()) raise("format has no argument number {}", index);
    value = arguments.positional[index];
  } else {
    const auto found = std::find_if(arguments.keyword.begin(), arguments.keyword.end(),
                                    [&](const auto& a) { return a.first == name; });
    if (found == arguments.keyword.end()) raise("format has no argument '{}'", name);
    value = found->second;
  }
  for (path.remove_prefix(end); !path.empty();) {
    const bool is_item = path[0] == '[';
    const size_t stop = is_item ? path.find(']') : path.find_first_of(".[", 1);
    const std::string key(path.substr(1, std::min(stop, path.size()) - 1));
    if (is_item && stop == path.npos) raise("a format field lacks its ']'");
    size_t at = 0;
    const bool is_index = is_item && !key.empty() && is_digit(key[0]);
    value = is_index  ? get_item(value, Value::integer(read_number(key, at)), budget)
            : is_item ? get_item(value, Value::string(key), budget)
                      : get_attribute(value, key, budget);
    path.remove_prefix(std::min(stop + (is_item ? 1 : 0), path.size()));
  }
  if (conversion == 'r' || bang != field.npos) {
    std::string text;
    if (conversion == 'r')
      append_repr(text, value, budget);
    else
      append_str(text, value, budget);
    value = Value::string(std::move(text));
  }
  return format_spec(value, spec, budget);
}

}  // namespace

Value str_format(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  Budget& budget = interpreter.budget();
  const std::string_view text = self.text();
  std::string out;
  Numbering numbering;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == c;
    if ((c == '{' || c == '}') && doubled) ++at;
    if (c != '{' || doubled) {
      if (c == '}' && !doubled) raise("a '}}' in a format without its '{{'");
      out += c;
      continue;
    }
    const size_t end = text.find('}', at);
    if (end == text.npos) raise("a '{{' in a format without its '}}'");
    budget.step();
    out += format_field(text.substr(at + 1, end - at - 1), arguments, numbering, budget);
    budget.expect_string(out.size());
    at = end;
  }
  return budget.string(std::move(out));
}

namespace {

// The flags, width and precision after a % become a Spec of the other language.
std::string percent_field(char type, Spec spec, bool left, const Value& value, Budget& budget) {
  std::string out;
  if (type == 's' || type == 'r') {
    if (type == 's')
      append_str(out, value, budget);
    else
      append_repr(out, value, budget);
    if (spec.precision) out.resize(byte_offset(out, static_cast<size_t>(*spec.precision)));
  } else if (type == 'c') {
    if (value.is(Kind::kInt) && value.as_int() >= 0 && value.as_int() <= 0x10FFFF)
      append_utf8(out, static_cast<uint32_t>(value.as_int()));
    else if (value.is(Kind::kString) && value.char_count() == 1)
      out = value.text();
    else
      raise("%c needs a character");
  } else {
    if (value.is(Kind::kUndefined)) raise("{}", value.undefined_reason());
    if (!value.is_number()) raise("%{} needs a number, not '{}'", type, value.type_name());
    Value number = value;
    if (std::string_view("diuxXo").find(type) != std::string_view::npos) {
      spec.type = type == 'i' || type == 'u' ? 'd' : type;
      if (value.is(Kind::kFloat)) {
        const double whole = std::trunc(value.as_float());
        if (spec.type != 'd' || !(std::abs(whole) < 9.2e18))
          raise("%{} does not fit {}", type, float_repr(value.as_float()));
        number = Value::integer(static_cast<int64_t>(whole));
      }
    } else if (std::string_view("fFeEgG").find(type) != std::string_view::npos) {
      spec.type = type;
    } else {
      raise("the format %{} is not supported", type);
    }
    if (spec.precision.value_or(0) > kMostPrecision)
      raise("a precision of more than {}", kMostPrecision);
    if (left) spec.align = '\0';
    out = format_number(number, spec, budget);
  }
  return pad_text(out, spec.width, " ", left ? kRight : kLeft, budget);
}

}  // namespace

Value percent_format(const Value& format, const Value& values, Budget& budget) {
  const std::string_view text = format.text();
  std::string out;
  size_t used = 0;
  const auto next = [&]() -> const Value& {
    if (!values.is_tuple() && used++ == 0) return values;
    if (!values.is_tuple() || used >= values.items().size())
      raise("there are fewer values than the format '{}' needs", text.substr(0, 80));
    return values.items()[used++];
  };
  bool named = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    budget.step();
    ++at;
    std::optional<Value> by_name;
    if (at < text.size() && text[at] == '(') {
      const size_t end = text.find(')', at);
      if (end == text.npos || !values.is(Kind::kDict)) raise("a format needs a dictionary");
      const Value* found = values.dict().find(text.substr(at + 1, end - at - 1));
      if (!found) raise("the format's name '{}' is missing", text.substr(at + 1, end - at - 1));
      by_name = *found;
      named = true;
      at = end + 1;
    }
    Spec spec;
    bool left = false;
    for (; at < text.size(); ++at) {
      const char flag = text[at];
      if (flag == '-')
        left = true;
      else if (flag == '+' || (flag == ' ' && spec.sign != '+'))
        spec.sign = flag;
      else if (flag == '#')
        spec.alternate = true;
      else if (flag == '0')
        spec.fill = "0", spec.align = '=';
      else if (flag != ' ')
        break;
    }
    if (at < text.size() && is_digit(text[at])) spec.width = read_number(text, at);
    if (at < text.size() && text[at] == '.') {
      ++at;
      spec.precision = at < text.size() && is_digit(text[at]) ? read_number(text, at) : 0;
    }
    if (at >= text.size()) raise("a format ends within a '%'");
    if (text[at] == '%')
      out += '%';
    else
      out += percent_field(text[at], spec, left, by_name ? *by_name : next(), budget);
    budget.expect_string(out.size());
  }
  const bool all_used = values.is_tuple() ? used == values.items().size() : used > 0 || named;
  const bool may_be_left = values.is(Kind::kDict) || values.is_sequence(SequenceKind::kList);
  if (!all_used && !may_be_left) raise("there are more values than the format has places");
  return budget.string(std::move(out));
}

std::string format_time(const std::string& format, int64_t unix_s) {
  // The program's locale must not change a prompt.
  static const locale_t kLocale = newlocale(LC_ALL_MASK, "C", nullptr);
  constexpr size_t kMostBytes = 4096;
  if (format.find('\0') != std::string::npos) raise("a date format holds a zero byte");
  const time_t when = static_cast<time_t>(unix_s);
  struct tm parts {};
  if (!gmtime_r(&when, &parts)) raise("the time {} has no date", unix_s);
  // Python's own: microseconds, and a time without a zone.
  std::string safe;
  for (size_t i = 0; i < format.size(); ++i) {
    const char next = format[i] == '%' && i + 1 < format.size() ? format[i + 1] : '\0';
    if (next == 'f') safe += "000000";
    if (next == '%') safe += "%%";
    if (next == 'f' || next == 'z' || next == 'Z' || next == '%')
      ++i;
    else
      safe += format[i];
  }
  std::string out(kMostBytes, '\0');
  safe += '.';  // never an empty result, which is how strftime reports failure
  const size_t bytes = strftime_l(out.data(), out.size(), safe.c_str(), &parts, kLocale);
  if (bytes == 0) raise("a date of more than {} bytes", kMostBytes);
  out.resize(bytes - 1);
  return out;
}

}  // namespace dspark::tokenizer::jinja

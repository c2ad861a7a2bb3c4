// The formatting operator: '%-8s' % value.
#include <cmath>
#include <optional>

#include "tokenizer/template_format_spec.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;

// The flags, width and precision after a % become a FormatSpec of the other language.
std::string percent_field(char type, FormatSpec spec, bool left, const Value& value,
                          Budget& budget) {
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
    FormatSpec spec;
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

}  // namespace dspark::tokenizer::jinja

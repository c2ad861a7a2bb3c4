// Filters on one value: text, numbers, JSON.
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
constexpr size_t kCaseCost = 16;

template <std::string (*change)(std::string_view)>
Value change_case(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the filter", arguments, {});
  const std::string text = to_str(self, interpreter.budget());
  interpreter.budget().work(text.size() * kCaseCost);
  return interpreter.budget().string(change(text));
}

// Unlike str.title, words begin after spaces, hyphens and opening brackets.
std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (CharReader reader(text); !reader.done();) {
    const std::string_view c = reader.next();
    out += in_word ? to_lower(c) : to_upper(c);
    in_word = !is_space(code_point(c)) && std::string_view("-({[<").find(c) == c.npos;
  }
  return out;
}

Value trim(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("trim", arguments, {"chars"});
  const std::string text = to_str(self, interpreter.budget());
  if (!p.has(0) || p[0].is(Kind::kNone))
    return interpreter.budget().string(std::string(strip(text, kBoth)));
  interpreter.budget().work(text.size() * (1 + p.text(0).size() / 16));
  return interpreter.budget().string(std::string(strip(text, kBoth, p.text(0))));
}

Value replace(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  Budget& budget = interpreter.budget();
  const int64_t most = p.has(2) && !p[2].is(Kind::kNone) ? p.integer(2, -1) : -1;
  return budget.string(
      replace_text(to_str(self, budget), to_str(p[0], budget), to_str(p[1], budget), most, budget));
}

Value indent(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("indent", arguments, {"width", "first", "blank"});
  Budget& budget = interpreter.budget();
  std::string by;
  if (p.has(0) && p[0].is(Kind::kString)) {
    by = p[0].text();
  } else {
    const int64_t width = std::max<int64_t>(p.integer(0, 4), 0);
    budget.expect_string(static_cast<size_t>(width));
    by.assign(static_cast<size_t>(width), ' ');
  }
  const std::string text = to_str(self, budget);
  Arguments none;
  const Value with_end = Value::string(text + "\n");
  const Value lines = find_method(with_end, "splitlines")(interpreter, with_end, none);
  std::string out = p.flag(1, false) ? by : "";
  for (size_t i = 0; i < lines.items().size(); ++i) {
    const std::string& line = lines.items()[i].text();
    budget.expect_string(out.size() + by.size() + line.size() + 1);
    if (i > 0) out += '\n';
    if (i > 0 && (!line.empty() || p.flag(2, false))) out += by;
    out += line;
  }
  return budget.string(std::move(out));
}

Value escape(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("escape", arguments, {});
  std::string out;
  for (const char c : to_str(self, interpreter.budget())) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return interpreter.budget().string(std::move(out));
}

Value string(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("string", arguments, {});
  return interpreter.budget().string(to_str(self, interpreter.budget()));
}

Value center(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("center", arguments, {"width"});
  Budget& budget = interpreter.budget();
  return budget.string(pad_text(to_str(self, budget), p.integer(0, 80), " ", kBoth, budget));
}

Value wordcount(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("wordcount", arguments, {});
  const std::string text = to_str(self, interpreter.budget());
  interpreter.budget().work(text.size() * kCaseCost);
  int64_t words = 0;
  bool in_word = false;
  for (CharReader reader(text); !reader.done();) {
    const bool is_word = in_class(reader.next(), CharClass::kWord);
    words += is_word && !in_word;
    in_word = is_word;
  }
  return Value::integer(words);
}

Value truncate(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("truncate", arguments, {"length", "killwords", "end", "leeway"});
  Budget& budget = interpreter.budget();
  const std::string text = to_str(self, budget), end = p.text(2, "...");
  const int64_t length = p.integer(0, 255);
  const int64_t leeway = p.has(3) && !p[3].is(Kind::kNone) ? p.integer(3, 5) : 5;
  const auto end_chars = static_cast<int64_t>(count_chars(end));
  if (length < end_chars || leeway < 0) raise("truncate's length or leeway is too small");
  const auto chars = static_cast<int64_t>(count_chars(text));
  if (chars - leeway <= length) return budget.string(text);
  std::string kept = text.substr(0, byte_offset(text, static_cast<size_t>(length - end_chars)));
  if (!p.flag(1, false)) kept.resize(std::min(kept.rfind(' '), kept.size()));
  return budget.string(kept + end);
}

Value urlencode(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("urlencode", arguments, {});
  if (self.is(Kind::kDict) || self.is(Kind::kSequence))
    raise("urlencode of a '{}' is not supported", self.type_name());
  std::string out;
  for (const char c : to_str(self, interpreter.budget())) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (in_class(std::string_view(&c, 1), CharClass::kWord) || c == '-' ||
                        c == '.' || c == '~' || c == '/'))
      out += c;
    else
      out += fmt::format("%{:02X}", byte);
  }
  return interpreter.budget().string(std::move(out));
}

Value format(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  Budget& budget = interpreter.budget();
  const Value text = Value::string(to_str(self, budget));
  if (arguments.keyword.empty())
    return percent_format(
        text, budget.sequence(std::move(arguments.positional), SequenceKind::kTuple), budget);
  if (!arguments.positional.empty())
    raise("format takes positional or keyword arguments, not both");
  Dict named;
  for (auto& [name, value] : arguments.keyword) named.set(name, std::move(value));
  return percent_format(text, budget.dict(std::move(named)), budget);
}

Value length(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("length", arguments, {});
  const auto count = [](size_t n) { return Value::integer(static_cast<int64_t>(n)); };
  switch (self.kind()) {
    case Kind::kUndefined:
      return count(0);
    case Kind::kString:
      return count(self.char_count());
    case Kind::kDict:
      return count(self.dict().entries.size());
    case Kind::kLoop:
      return count(self.loop().sequence->items.size());
    case Kind::kSequence:
      if (!self.is_sequence(SequenceKind::kGenerator)) return count(self.items().size());
      break;
    default:
      break;
  }
  raise("a '{}' has no length", self.type_name());
}

Value default_value(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("default", arguments, {"default_value", "boolean"});
  const bool replace = self.is(Kind::kUndefined) || (p.flag(1, false) && !self.truthy());
  if (!replace) return self;
  return p.has(0) ? p[0] : Value::string({});
}

Value absolute(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("abs", arguments, {});
  if (self.is(Kind::kFloat)) return Value::real(std::abs(self.as_float()));
  const Value number = positive(self);
  return number.as_int() < 0 ? negative(number) : number;
}

// The digits of Python's int() and float(): spaces around, underscores between digits.
std::optional<std::string> number_text(std::string_view text) {
  text = strip(text, kBoth);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_' && text[i + 1] != '_' &&
                         in_class(text.substr(i - 1, 1), CharClass::kAlnum) &&
                         in_class(text.substr(i + 1, 1), CharClass::kAlnum);
    if (text[i] != '_')
      out += text[i];
    else if (!between)
      return std::nullopt;
  }
  if (!out.empty() && out[0] == '+') {
    out.erase(0, 1);
    if (!out.empty() && out[0] == '-') return std::nullopt;
  }
  if (out.empty()) return std::nullopt;
  return out;
}

std::optional<double> parse_float(std::string_view text) {
  const auto digits = number_text(text);
  if (!digits) return std::nullopt;
  double value = 0;
  const char* end = digits->data() + digits->size();
  const auto read = std::from_chars(digits->data(), end, value);
  if (read.ptr != end || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (digits->find('(') != std::string::npos) return std::nullopt;  // nan(...)
  if (read.ec == std::errc::result_out_of_range) value = std::strtod(digits->c_str(), nullptr);
  return value;
}

std::optional<int64_t> parse_int(std::string_view text, int base) {
  auto digits = number_text(text);
  if (!digits) return std::nullopt;
  const bool negative = (*digits)[0] == '-';
  if (negative) digits->erase(0, 1);
  if (digits->size() > 2 && (*digits)[0] == '0') {
    const char prefix = static_cast<char>((*digits)[1] | 0x20);
    const int named = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      digits->erase(0, 2);
    }
  }
  if (digits->empty() || (*digits)[0] == '-') return std::nullopt;
  if (negative) digits->insert(0, 1, '-');
  int64_t value = 0;
  const char* end = digits->data() + digits->size();
  const auto read = std::from_chars(digits->data(), end, value, base == 0 ? 10 : base);
  if (read.ptr != end || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) raise("an integer would not fit 64 bits");
  return value;
}

Value truncated(double value) {
  if (!(std::abs(value) < 9.2e18)) raise("an integer would not fit 64 bits");
  return Value::integer(static_cast<int64_t>(value));
}

Value to_int(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("int", arguments, {"default", "base"});
  const Value otherwise = p.has(0) ? p[0] : Value::integer(0);
  const int64_t base = p.integer(1, 10);
  if (base != 0 && (base < 2 || base > 36)) raise("int's base is 2 to 36");
  switch (self.kind()) {
    case Kind::kBool:
    case Kind::kInt:
      return Value::integer(self.as_int());
    case Kind::kFloat:
      return std::isfinite(self.as_float()) ? truncated(self.as_float()) : otherwise;
    case Kind::kString:
      if (const auto value = parse_int(self.text(), static_cast<int>(base)))
        return Value::integer(*value);
      if (const auto value = parse_float(self.text()); value && std::isfinite(*value))
        return truncated(*value);
      return otherwise;
    case Kind::kUndefined:
      raise("{}", self.undefined_reason());
    default:
      return otherwise;
  }
}

Value to_float(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("float", arguments, {"default"});
  if (self.is(Kind::kUndefined)) raise("{}", self.undefined_reason());
  if (self.is_number()) return Value::real(self.as_float());
  if (self.is(Kind::kString))
    if (const auto value = parse_float(self.text())) return Value::real(*value);
  return p.has(0) ? p[0] : Value::real(0);
}

Value round(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("round", arguments, {"precision", "method"});
  const int64_t precision = p.integer(0, 0);
  const std::string method = p.text(1, "common");
  if (method != "common" && method != "ceil" && method != "floor")
    raise("round's method is common, ceil or floor, not '{}'", method);
  if (precision < -18 || precision > 300) raise("round's precision is out of range");
  const Value number = positive(self);
  const double value = number.as_float();
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::real(std::ceil(value * scale) / scale);
  if (method == "floor") return Value::real(std::floor(value * scale) / scale);
  if (precision >= 0 && number.is(Kind::kInt)) return number;
  if (!std::isfinite(value)) return number;
  if (precision < 0) {
    const double rounded = std::nearbyint(value * scale) / scale;
    return number.is(Kind::kInt) ? truncated(rounded) : Value::real(rounded);
  }
  // Through decimal digits, which are exact: 2.675 is below 2.675.
  const std::string digits = fmt::format("{:.{}f}", value, static_cast<int>(precision));
  return Value::real(std::strtod(digits.c_str(), nullptr));
}

// As Hugging Face defines it: plain json.dumps, not Jinja's own with HTML escapes.
Value tojson(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = p.flag(0, false);
  style.sort_keys = p.flag(3, false);
  if (p.has(1) && !p[1].is(Kind::kNone)) {
    style.multiline = true;
    style.item_separator = std::string(",");
    if (p[1].is(Kind::kString)) {
      style.indent = p[1].text();
    } else {
      const int64_t width = std::max<int64_t>(p.integer(1, 0), 0);
      interpreter.budget().expect_string(static_cast<size_t>(width));
      style.indent.assign(static_cast<size_t>(width), ' ');
    }
  }
  if (p.has(2) && !p[2].is(Kind::kNone)) {
    const auto both = iterate(p[2], interpreter.budget());
    if (both.size() != 2 || !both[0].is(Kind::kString) || !both[1].is(Kind::kString))
      raise("tojson's separators are two strings");
    style.item_separator = both[0].text();
    style.key_separator = both[1].text();
  }
  return interpreter.budget().string(to_json(self, style, interpreter.budget()));
}

Value attribute(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("attr", arguments, {"name"}, 1);
  const std::string& name = p.text(0);
  if (self.is(Kind::kDict) && !find_method(self, name))
    return Value::undefined(fmt::format("'dict' has no attribute '{}'", name));
  return get_attribute(self, name, interpreter.budget());
}

constexpr Builtin kFilters[] = {
    {"trim", trim},
    {"upper", change_case<to_upper>},
    {"lower", change_case<to_lower>},
    {"title", change_case<title>},
    {"capitalize", change_case<capitalize>},
    {"replace", replace},
    {"indent", indent},
    {"escape", escape},
    {"e", escape},
    {"forceescape", escape},
    {"safe", string},
    {"string", string},
    {"center", center},
    {"wordcount", wordcount},
    {"truncate", truncate},
    {"urlencode", urlencode},
    {"format", format},
    {"length", length},
    {"count", length},
    {"default", default_value},
    {"d", default_value},
    {"abs", absolute},
    {"int", to_int},
    {"float", to_float},
    {"round", round},
    {"tojson", tojson},
    {"attr", attribute},
};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

}  // namespace dspark::tokenizer::jinja

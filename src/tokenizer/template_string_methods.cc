// The methods of strings that search, test or change them.
#include <algorithm>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;
constexpr size_t kNowhere = std::string_view::npos;
constexpr size_t kCaseCost = 16;  // Unicode's tables are slower than a copy

template <Sides sides>
Value strip_method(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("strip", arguments, {"chars"});
  if (!p.has(0) || p[0].is(Kind::kNone))
    return interpreter.budget().string(std::string(strip(self.text(), sides)));
  const std::string& chars = p.text(0);
  const std::string_view rest = strip(self.text(), sides, chars);
  interpreter.budget().work((self.text().size() - rest.size()) * chars.size());
  return interpreter.budget().string(std::string(rest));
}

// What Python's optional start and end leave of a text; nothing when start is past the end.
struct Part {
  std::string_view text;
  size_t first_char;
  bool valid;
};
Part part_of(const Value& self, const Parameters& p, size_t first, Budget& budget) {
  budget.work(self.text().size());
  const auto length = static_cast<int64_t>(self.char_count());
  const auto clamp = [&](size_t i, int64_t otherwise) {
    int64_t at = p.has(i) && !p[i].is(Kind::kNone) ? p.integer(i, 0) : otherwise;
    return at < 0 ? std::max<int64_t>(at + length, 0) : at;
  };
  const int64_t start = clamp(first, 0), end = std::min(clamp(first + 1, length), length);
  if (start > end) return {{}, 0, false};
  const std::string_view text = self.text();
  const size_t begin = byte_offset(text, static_cast<size_t>(start));
  const size_t bytes = end == length
                           ? text.size() - begin
                           : byte_offset(text.substr(begin), static_cast<size_t>(end - start));
  return {text.substr(begin, bytes), static_cast<size_t>(start), true};
}

template <bool at_start>
Value starts_or_ends(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p(at_start ? "startswith" : "endswith", arguments, {"affix", "start", "end"}, 1);
  const Part part = part_of(self, p, 1, interpreter.budget());
  const auto matches = [&](const Value& affix) {
    if (affix.is(Kind::kUndefined)) raise("{}", affix.undefined_reason());
    if (!affix.is(Kind::kString))
      raise("startswith and endswith need a string, not '{}'", affix.type_name());
    return part.valid &&
           (at_start ? part.text.starts_with(affix.text()) : part.text.ends_with(affix.text()));
  };
  if (!p[0].is_tuple()) return Value::boolean(matches(p[0]));
  return Value::boolean(std::any_of(p[0].items().begin(), p[0].items().end(), matches));
}

template <bool from_right, bool must_exist>
Value find_method_of(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p(must_exist ? "index" : "find", arguments, {"sub", "start", "end"}, 1);
  const std::string& needle = p.text(0);
  const Part part = part_of(self, p, 1, interpreter.budget());
  size_t at = kNowhere;
  if (part.valid) at = from_right ? rfind_text(part.text, needle) : find_text(part.text, needle);
  if (at == kNowhere && must_exist) raise("index: the text is not in the string");
  if (at == kNowhere) return Value::integer(-1);
  return Value::integer(
      static_cast<int64_t>(part.first_char + count_chars(part.text.substr(0, at))));
}

size_t occurrences(std::string_view text, std::string_view needle) {
  if (needle.empty()) return count_chars(text) + 1;
  size_t count = 0;
  for (size_t at = 0; (at = find_text(text, needle, at)) != kNowhere; at += needle.size()) ++count;
  return count;
}

Value count(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("count", arguments, {"sub", "start", "end"}, 1);
  const Part part = part_of(self, p, 1, interpreter.budget());
  return Value::integer(part.valid ? static_cast<int64_t>(occurrences(part.text, p.text(0))) : 0);
}

Value replace(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  return interpreter.budget().string(
      replace_text(self.text(), p.text(0), p.text(1), p.integer(2, -1), interpreter.budget()));
}

template <std::string (*change)(std::string_view)>
Value change_case(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the method", arguments, {});
  interpreter.budget().work(self.text().size() * kCaseCost);
  return interpreter.budget().string(change(self.text()));
}

std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (CharReader reader(text); !reader.done();) {
    const std::string_view c = reader.next();
    out += in_word ? to_lower(c) : to_upper(c);
    in_word = in_class(c, CharClass::kAlpha);
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (CharReader reader(text); !reader.done();) {
    const std::string_view c = reader.next();
    out += in_class(c, CharClass::kUpper) ? to_lower(c) : to_upper(c);
  }
  return out;
}

template <CharClass char_class>
Value all_in_class(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the method", arguments, {});
  interpreter.budget().work(self.text().size() * kCaseCost);
  for (CharReader reader(self.text()); !reader.done();)
    if (!in_class(reader.next(), char_class)) return Value::boolean(false);
  return Value::boolean(!self.text().empty());
}

Value is_all_space(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("isspace", arguments, {});
  return Value::boolean(!self.text().empty() && strip(self.text(), kLeft).empty());
}

template <CharClass wanted, CharClass refused>
Value is_cased(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the method", arguments, {});
  interpreter.budget().work(self.text().size() * kCaseCost);
  bool any = false;
  for (CharReader reader(self.text()); !reader.done();) {
    const std::string_view c = reader.next();
    if (in_class(c, refused)) return Value::boolean(false);
    any = any || in_class(c, wanted);
  }
  return Value::boolean(any);
}

template <Sides side>
Value justify(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("ljust, rjust and center", arguments, {"width", "fillchar"}, 1);
  const std::string fill = p.text(1, " ");
  if (count_chars(fill) != 1) raise("the fill must be one character");
  Budget& budget = interpreter.budget();
  return budget.string(
      pad_text(self.text(), p.integer(0, 0), fill, static_cast<int>(side), budget));
}

Value zfill(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("zfill", arguments, {"width"}, 1);
  const std::string& text = self.text();
  const bool sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  const int64_t width = std::max<int64_t>(p.integer(0, 0), 0) - (sign ? 1 : 0);
  Budget& budget = interpreter.budget();
  return budget.string((sign ? text.substr(0, 1) : std::string()) +
                       pad_text(text.substr(sign), width, "0", kLeft, budget));
}

template <bool prefix>
Value remove_affix(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("removeprefix and removesuffix", arguments, {"affix"}, 1);
  std::string_view text = self.text();
  const std::string& affix = p.text(0);
  if (prefix && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!prefix && text.ends_with(affix)) text.remove_suffix(affix.size());
  return interpreter.budget().string(std::string(text));
}

constexpr Builtin kStringMethods[] = {
    {"strip", strip_method<kBoth>},
    {"lstrip", strip_method<kLeft>},
    {"rstrip", strip_method<kRight>},
    {"startswith", starts_or_ends<true>},
    {"endswith", starts_or_ends<false>},
    {"find", find_method_of<false, false>},
    {"rfind", find_method_of<true, false>},
    {"index", find_method_of<false, true>},
    {"rindex", find_method_of<true, true>},
    {"count", count},
    {"replace", replace},
    {"upper", change_case<to_upper>},
    {"lower", change_case<to_lower>},
    {"casefold", change_case<to_lower>},
    {"title", change_case<title>},
    {"capitalize", change_case<capitalize>},
    {"swapcase", change_case<swap_case>},
    {"format", str_format},
    {"isdigit", all_in_class<CharClass::kDigit>},
    {"isdecimal", all_in_class<CharClass::kDigit>},
    {"isnumeric", all_in_class<CharClass::kDigit>},
    {"isalpha", all_in_class<CharClass::kAlpha>},
    {"isalnum", all_in_class<CharClass::kAlnum>},
    {"isspace", is_all_space},
    {"isupper", is_cased<CharClass::kUpper, CharClass::kLower>},
    {"islower", is_cased<CharClass::kLower, CharClass::kUpper>},
    {"ljust", justify<kRight>},
    {"rjust", justify<kLeft>},
    {"center", justify<kBoth>},
    {"zfill", zfill},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
};

}  // namespace

std::span<const Builtin> string_methods() { return kStringMethods; }

}  // namespace dspark::tokenizer::jinja

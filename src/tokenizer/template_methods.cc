// The methods of strings, dictionaries and lists that do not change their object.
#include <algorithm>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"
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

// The pieces of text as strings, within the budget.
class Pieces {
 public:
  explicit Pieces(Budget& budget) : budget_(budget) {}
  void add(std::string_view piece) {
    budget_.expect_items(items_.size() + 1);
    items_.push_back(budget_.string(std::string(piece)));
  }
  Value list() { return budget_.sequence(std::move(items_)); }
  Value reversed_list() {
    std::reverse(items_.begin(), items_.end());
    return list();
  }

 private:
  Budget& budget_;
  std::vector<Value> items_;
};

Value split_at_spaces(std::string_view text, int64_t most, Budget& budget) {
  Pieces pieces(budget);
  for (text = strip(text, kLeft); !text.empty(); text = strip(text, kLeft)) {
    if (most-- == 0) {
      pieces.add(text);
      break;
    }
    size_t end = 0;
    while (end < text.size()) {
      const size_t bytes = byte_offset(text.substr(end), 1);
      if (is_space(code_point(text.substr(end, bytes)))) break;
      end += bytes;
    }
    pieces.add(text.substr(0, end));
    text.remove_prefix(end);
  }
  return pieces.list();
}

Value rsplit_at_spaces(std::string_view text, int64_t most, Budget& budget) {
  Pieces pieces(budget);
  for (text = strip(text, kRight); !text.empty(); text = strip(text, kRight)) {
    if (most-- == 0) {
      pieces.add(text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      size_t at = begin - 1;
      while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
      if (is_space(code_point(text.substr(at, begin - at)))) break;
      begin = at;
    }
    pieces.add(text.substr(begin));
    text = text.substr(0, begin);
  }
  return pieces.reversed_list();
}

Value split(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("split", arguments, {"sep", "maxsplit"});
  int64_t most = p.integer(1, -1);
  Budget& budget = interpreter.budget();
  std::string_view text = self.text();
  budget.work(text.size());
  if (!p.has(0) || p[0].is(Kind::kNone)) return split_at_spaces(text, most, budget);
  const std::string& separator = p.text(0);
  if (separator.empty()) raise("split needs a separator that is not empty");
  Pieces pieces(budget);
  for (size_t at; most != 0 && (at = find_text(text, separator)) != kNowhere; --most) {
    pieces.add(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  pieces.add(text);
  return pieces.list();
}

// Non-overlapping occurrences counted from the right.
Value rsplit(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("rsplit", arguments, {"sep", "maxsplit"});
  int64_t most = p.integer(1, -1);
  Budget& budget = interpreter.budget();
  budget.work(self.text().size() * 2);
  if (!p.has(0) || p[0].is(Kind::kNone)) return rsplit_at_spaces(self.text(), most, budget);
  const std::string& separator = p.text(0);
  if (separator.empty()) raise("rsplit needs a separator that is not empty");
  const std::string_view text = self.text();
  const std::string backwards(text.rbegin(), text.rend());
  const std::string wanted(separator.rbegin(), separator.rend());
  Pieces pieces(budget);
  size_t end = text.size(), from = 0;
  for (size_t at; most != 0 && (at = find_text(backwards, wanted, from)) != kNowhere; --most) {
    const size_t begin = text.size() - at;
    pieces.add(text.substr(begin, end - begin));
    end = begin - separator.size();
    from = at + separator.size();
  }
  pieces.add(text.substr(0, end));
  return pieces.reversed_list();
}

bool is_line_end(uint32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

Value splitlines(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("splitlines", arguments, {"keepends"});
  const bool keep = p.flag(0, false);
  const std::string_view text = self.text();
  Pieces pieces(interpreter.budget());
  size_t line = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = byte_offset(text.substr(at), 1);
    const bool ends = is_line_end(code_point(text.substr(at, bytes)));
    const size_t begin = at;
    at += bytes;
    if (!ends) continue;
    if (text[begin] == '\r' && at < text.size() && text[at] == '\n') ++at;
    pieces.add(text.substr(line, (keep ? at : begin) - line));
    line = at;
  }
  if (line < text.size()) pieces.add(text.substr(line));
  return pieces.list();
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

Value join(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("join", arguments, {"iterable"}, 1);
  Budget& budget = interpreter.budget();
  std::string out;
  bool first = true;
  for (const Value& item : iterate(p[0], budget)) {
    if (!item.is(Kind::kString)) raise("join needs strings, not '{}'", item.type_name());
    if (!std::exchange(first, false)) append_str(out, self, budget);
    append_str(out, item, budget);
  }
  return budget.string(std::move(out));
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

template <bool from_right>
Value partition(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("partition", arguments, {"sep"}, 1);
  const std::string& separator = p.text(0);
  if (separator.empty()) raise("partition needs a separator that is not empty");
  Budget& budget = interpreter.budget();
  const std::string_view text = self.text();
  const size_t at = from_right ? rfind_text(text, separator) : find_text(text, separator);
  std::vector<Value> parts(3, Value::string({}));
  if (at == kNowhere) {
    parts[from_right ? 2 : 0] = self;
  } else {
    parts[0] = budget.string(std::string(text.substr(0, at)));
    parts[1] = p[0];
    parts[2] = budget.string(std::string(text.substr(at + separator.size())));
  }
  return budget.sequence(std::move(parts), SequenceKind::kTuple);
}

Value dict_get(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("get", arguments, {"key", "default"}, 1);
  const Value* found = self.dict().find(p[0], interpreter.budget());
  return found ? *found : p.has(1) ? p[1] : Value::none();
}

template <int part>  // 0: keys, 1: values, 2: both
Value dict_view(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the method", arguments, {});
  Budget& budget = interpreter.budget();
  std::vector<Value> items;
  items.reserve(self.dict().entries.size());
  for (const auto& [key, value, hash] : self.dict().entries)
    items.push_back(part == 0   ? key
                    : part == 1 ? value
                                : budget.sequence({key, value}, SequenceKind::kTuple));
  return budget.sequence(std::move(items), SequenceKind::kView);
}

Value same(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("copy", arguments, {});
  return self;
}

Value list_index(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("index", arguments, {"value"}, 1);
  for (size_t i = 0; i < self.items().size(); ++i)
    if (equals(self.items()[i], p[0], interpreter.budget()))
      return Value::integer(static_cast<int64_t>(i));
  raise("index: the value is not in the list");
}

Value list_count(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("count", arguments, {"value"}, 1);
  return Value::integer(
      std::count_if(self.items().begin(), self.items().end(),
                    [&](const Value& item) { return equals(item, p[0], interpreter.budget()); }));
}

constexpr Builtin kStringMethods[] = {
    {"strip", strip_method<kBoth>},
    {"lstrip", strip_method<kLeft>},
    {"rstrip", strip_method<kRight>},
    {"split", split},
    {"rsplit", rsplit},
    {"splitlines", splitlines},
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
    {"join", join},
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
    {"partition", partition<false>},
    {"rpartition", partition<true>},
};

constexpr Builtin kDictMethods[] = {
    {"get", dict_get},       {"keys", dict_view<0>}, {"values", dict_view<1>},
    {"items", dict_view<2>}, {"copy", same},
};

constexpr Builtin kListMethods[] = {{"index", list_index}, {"count", list_count}, {"copy", same}};

}  // namespace

std::span<const Builtin> string_methods() { return kStringMethods; }
std::span<const Builtin> dict_methods() { return kDictMethods; }
std::span<const Builtin> list_methods() { return kListMethods; }

}  // namespace dspark::tokenizer::jinja

// Reads GBNF: rules `name ::= body`, in any order. A body is literals "...", classes [...], `.` for
// any character, names, groups ( ), alternatives |, and ? * + {n} {n,} {n,m} behind any of these.
#include <algorithm>
#include <map>

#include "grammar/front_ends.h"
#include "tokenizer/tokenizer.h"

namespace dspark::grammar {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr int kMostNesting = 100, kMostRepeats = 10'000;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Result<Rules> parse();

 private:
  struct Named {
    int index;
    size_t first_use;
    bool defined = false;
  };

  template <class... Args>
  Error fault(size_t at, fmt::format_string<Args...> format, Args&&... args) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t column =
        at - (before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1);
    return fail("{}:{}:{}: {}", name_, line, column + 1,
                fmt::format(format, std::forward<Args>(args)...));
  }
  std::string found() const {
    if (at_ >= text_.size()) return "the end";
    const int length = std::max(tokenizer::read_utf8(text_.substr(at_)).length, 1);
    return tokenizer::in_quotes(text_.substr(at_, static_cast<size_t>(length)));
  }

  bool at_end() const { return at_ >= text_.size(); }
  bool is(char c) const { return !at_end() && text_[at_] == c; }
  bool take(char c) { return is(c) ? ++at_, true : false; }
  void skip_space();
  std::string_view take_name();
  bool begins_rule() const;
  int rule_named(std::string_view name, size_t at);

  Status parse_rule();
  Result<Expression> parse_choice(int nesting);
  Result<Expression> parse_sequence(int nesting);
  Result<Expression> parse_item(int nesting);
  Result<Expression> parse_repeats(Expression part);
  Result<int> parse_count();
  Result<Expression> parse_literal();
  Result<Expression> parse_class();
  Result<uint32_t> parse_char();
  Result<uint32_t> parse_hex(int digits);

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  Rules rules_;
  std::map<std::string, Named, std::less<>> names_;
};

void Parser::skip_space() {
  while (!at_end()) {
    if (is('#'))
      at_ = std::min(text_.find('\n', at_), text_.size());
    else if (is(' ') || is('\t') || is('\r') || is('\n'))
      ++at_;
    else
      return;
  }
}

std::string_view Parser::take_name() {
  const size_t from = at_;
  while (!at_end() && is_name_char(text_[at_])) ++at_;
  return text_.substr(from, at_ - from);
}

// A name with ::= behind it: the rule before has ended.
bool Parser::begins_rule() const {
  Parser ahead(text_, name_);
  ahead.at_ = at_;
  if (ahead.take_name().empty()) return false;
  ahead.skip_space();
  return text_.substr(ahead.at_).starts_with("::=");
}

int Parser::rule_named(std::string_view name, size_t at) {
  const auto [entry, added] =
      names_.try_emplace(std::string(name), Named{static_cast<int>(rules_.size()), at});
  if (added) rules_.push_back({std::string(name), {}});
  return entry->second.index;
}

Result<Rules> Parser::parse() {
  if (text_.size() > kMostBytes)
    return fail("{}: {} bytes, expected at most {}", name_, text_.size(), kMostBytes);
  rule_named("root", 0);
  for (skip_space(); !at_end(); skip_space()) DSPARK_RETURN_IF_ERROR(parse_rule());
  std::vector<std::string> defined;
  for (const auto& [name, named] : names_)
    if (named.defined) defined.push_back(name);
  if (!names_.at("root").defined)
    return fail("{}: expected a rule \"root\", which is the whole text", name_);
  for (const auto& [name, named] : names_)
    if (!named.defined)
      return fault(named.first_use, "there is no rule \"{}\", the nearest is \"{}\"", name,
                   nearest_word(name, defined));
  return std::move(rules_);
}

Status Parser::parse_rule() {
  const size_t from = at_;
  const std::string_view name = take_name();
  if (name.empty()) return fault(from, "{}, expected a rule's name", found());
  skip_space();
  if (!text_.substr(at_).starts_with("::="))
    return fault(at_, "{}, expected ::= behind the name \"{}\"", found(), name);
  at_ += 3;
  const int index = rule_named(name, from);
  Named& named = names_.find(name)->second;
  if (named.defined) return fault(from, "rule \"{}\" is there twice", name);
  named.defined = true;
  DSPARK_TRY(Expression body, parse_choice(0));
  if (!at_end() && !begins_rule()) return fault(at_, "{}, expected an item or a rule", found());
  rules_[static_cast<size_t>(index)].body = std::move(body);
  return {};
}

Result<Expression> Parser::parse_choice(int nesting) {
  if (nesting > kMostNesting) return fault(at_, "groups nest more than {} deep", kMostNesting);
  std::vector<Expression> parts;
  do {
    DSPARK_TRY(Expression part, parse_sequence(nesting));
    parts.push_back(std::move(part));
  } while (take('|'));
  return parts.size() == 1 ? std::move(parts[0]) : choice(std::move(parts));
}

Result<Expression> Parser::parse_sequence(int nesting) {
  std::vector<Expression> parts;
  for (skip_space(); !at_end() && !is('|') && !is(')') && !begins_rule(); skip_space()) {
    DSPARK_TRY(Expression item, parse_item(nesting));
    DSPARK_TRY(Expression part, parse_repeats(std::move(item)));
    parts.push_back(std::move(part));
  }
  return sequence(std::move(parts));
}

Result<Expression> Parser::parse_item(int nesting) {
  const size_t from = at_;
  if (take('"')) return parse_literal();
  if (take('[')) return parse_class();
  if (take('.')) {
    return Expression{.kind = Expression::Kind::kChars, .chars = normalised({}, true)};
  }
  if (take('(')) {
    DSPARK_TRY(Expression group, parse_choice(nesting + 1));
    if (!take(')')) return fault(at_, "{}, expected ) for the ( before", found());
    return group;
  }
  const std::string_view name = take_name();
  if (name.empty())
    return fault(from, "{}, expected a literal, a class, a group or a rule's name", found());
  return rule_of(rule_named(name, from));
}

Result<Expression> Parser::parse_repeats(Expression part) {
  for (int repeats = 0;; ++repeats) {
    const size_t from = at_;
    int least = 0, most = -1;
    if (take('?')) {
      most = 1;
    } else if (take('+')) {
      least = 1;
    } else if (take('{')) {
      DSPARK_TRY(least, parse_count());
      most = least;
      if (take(',')) {
        skip_space();
        most = -1;
        if (!is('}')) {
          DSPARK_TRY(most, parse_count());
        }
      }
      if (!take('}')) return fault(at_, "{}, expected }} as in {{2}}, {{2,}} or {{2,5}}", found());
      if (most >= 0 && most < least)
        return fault(from, "{} to {} times: expected the smaller number first", least, most);
    } else if (!take('*')) {
      return part;
    }
    if (repeats == kMostNesting) return fault(from, "more than {} repeats of repeats", repeats);
    part = repeat(std::move(part), least, most);
  }
}

Result<int> Parser::parse_count() {
  skip_space();
  const size_t from = at_;
  int count = 0;
  for (; !at_end() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
    count = 10 * count + (text_[at_] - '0');
    if (count > kMostRepeats) return fault(from, "expected at most {} repeats", kMostRepeats);
  }
  if (at_ == from) return fault(from, "{}, expected a number of repeats", found());
  skip_space();
  return count;
}

Result<Expression> Parser::parse_literal() {
  const size_t from = at_ - 1;
  std::string bytes;
  while (!take('"')) {
    if (at_end() || is('\n')) return fault(from, "a literal without its closing \"");
    DSPARK_TRY(const uint32_t c, parse_char());
    tokenizer::append_utf8(c, bytes);
  }
  return text_of(bytes);
}

Result<Expression> Parser::parse_class() {
  const size_t from = at_ - 1;
  const bool inverted = take('^');
  std::vector<CharRange> ranges;
  while (!take(']')) {
    if (at_end() || is('\n')) return fault(from, "a class without its closing ]");
    const size_t place = at_;
    DSPARK_TRY(const uint32_t first, parse_char());
    uint32_t last = first;
    if (is('-') && !text_.substr(at_).starts_with("-]")) {
      ++at_;
      if (at_end()) return fault(from, "a class without its closing ]");
      DSPARK_TRY(last, parse_char());
    }
    if (last < first) return fault(place, "a range that ends before it begins");
    ranges.push_back({first, last});
  }
  Expression expression{.kind = Expression::Kind::kChars,
                        .chars = normalised(std::move(ranges), inverted)};
  if (expression.chars.empty()) return fault(from, "a class without a character");
  return expression;
}

// A character of a literal or class, perhaps escaped.
Result<uint32_t> Parser::parse_char() {
  const size_t from = at_;
  if (!take('\\')) {
    const tokenizer::Utf8Char c = tokenizer::read_utf8(text_.substr(at_));
    if (c.length == 0) return fault(from, "bytes that are not UTF-8");
    at_ += static_cast<size_t>(c.length);
    return c.code_point;
  }
  const char escaped = at_end() ? '\0' : text_[at_++];
  switch (escaped) {
    case 'n':
      return uint32_t{'\n'};
    case 'r':
      return uint32_t{'\r'};
    case 't':
      return uint32_t{'\t'};
    case 'x':
      return parse_hex(2);
    case 'u':
      return parse_hex(4);
    case 'U':
      return parse_hex(8);
    default:
      if (std::string_view("\\\"'[]-^.").find(escaped) != std::string_view::npos && escaped != '\0')
        return static_cast<uint32_t>(escaped);
      return fault(from,
                   "an unknown escape; there are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xHH "
                   "\\uHHHH \\UHHHHHHHH");
  }
}

Result<uint32_t> Parser::parse_hex(int digits) {
  const size_t from = at_;
  uint32_t value = 0;
  for (int i = 0; i < digits; ++i, ++at_) {
    const char c = at_end() ? '\0' : text_[at_];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return fault(from, "expected {} hexadecimal digits", digits);
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
    return fault(from, "{:x} is no character", value);
  return value;
}

}  // namespace

Result<Rules> parse_gbnf(std::string_view text, const std::string& name) {
  return Parser(text, name).parse();
}

}  // namespace dspark::grammar

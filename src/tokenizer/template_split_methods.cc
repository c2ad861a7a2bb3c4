// The methods of strings that take them apart into a list or a tuple, and join.
#include <algorithm>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;
constexpr size_t kNowhere = std::string_view::npos;

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

constexpr Builtin kSplitMethods[] = {
    {"split", split},
    {"rsplit", rsplit},
    {"splitlines", splitlines},
    {"join", join},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
};

}  // namespace

std::span<const Builtin> split_methods() { return kSplitMethods; }

}  // namespace dspark::tokenizer::jinja

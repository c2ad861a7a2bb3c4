#include "tokenizer/template_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

// One kind of new line; one at the very end is dropped.
std::string normalise_lines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
         static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalise_lines(source)), text_(source_) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) lex_text();
    add(Token::Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(int line, std::string message) { throw SyntaxError{line, message}; }
  bool starts(std::string_view with, size_t at) const { return text_.substr(at).starts_with(with); }
  char byte(size_t at) const { return at < text_.size() ? text_[at] : '\0'; }

  Token& add(Token::Kind kind, std::string text = {}) {
    tokens_.push_back({});
    tokens_.back().kind = kind;
    tokens_.back().line = line_;
    tokens_.back().text = std::move(text);
    return tokens_.back();
  }

  void advance_to(size_t at) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<ptrdiff_t>(at_),
                                         text_.begin() + static_cast<ptrdiff_t>(at), '\n'));
    at_ = at;
  }

  void skip_space() {
    size_t at = at_;
    while (at < text_.size()) {
      const size_t bytes = byte_offset(text_.substr(at, 8), 1);
      if (!is_space(code_point(text_.substr(at, bytes)))) break;
      at += bytes;
    }
    advance_to(at);
  }

  // The text before a tag, as the tag's own mark and lstrip_blocks leave it.
  std::string_view before_tag(std::string_view text, char mark, bool is_variable) const {
    if (mark == '-') return strip(text, kRight);
    if (mark == '+' || is_variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_start == 0 && !line_starting_) return text;
    if (!strip(text.substr(line_start), kBoth).empty()) return text;
    return text.substr(0, line_start);
  }

  // After a block's or comment's closing mark: trim_blocks drops one new line.
  void after_tag(char mark) {
    if (mark == '-')
      skip_space();
    else if (mark != '+' && byte(at_) == '\n')
      advance_to(at_ + 1);
    line_starting_ = text_[at_ - 1] == '\n';
  }

  void lex_text() {
    const size_t begin = at_;
    size_t open = begin;
    for (;; ++open) {
      open = text_.find('{', open);
      if (open == std::string_view::npos || open + 1 >= text_.size()) {
        if (begin < text_.size()) add(Token::Kind::kText, std::string(text_.substr(begin)));
        advance_to(text_.size());
        return;
      }
      const char next = text_[open + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const char type = text_[open + 1];
    char mark = byte(open + 2);
    if (mark != '-' && mark != '+') mark = '\0';
    const std::string_view text = before_tag(text_.substr(begin, open - begin), mark, type == '{');
    if (!text.empty()) add(Token::Kind::kText, std::string(text));
    advance_to(open + 2 + (mark != '\0'));
    if (type == '#') return skip_comment();
    if (type == '%' && lex_raw()) return;
    add(type == '{' ? Token::Kind::kVariableBegin : Token::Kind::kBlockBegin);
    lex_code(type == '{');
  }

  void skip_comment() {
    const size_t end = text_.find("#}", at_);
    if (end == std::string_view::npos) fail(line_, "a comment {# has no #}");
    const char mark = end > at_ ? text_[end - 1] : '\0';
    advance_to(end + 2);
    after_tag(mark);
  }

  size_t after_spaces(size_t at) const {
    while (at < text_.size() && is_space(static_cast<unsigned char>(text_[at]))) ++at;
    return at;
  }

  // {% raw %}...{% endraw %} becomes one text; the opening {% is already read.
  bool lex_raw() {
    size_t at = after_spaces(at_);
    if (!starts("raw", at)) return false;
    at = after_spaces(at + 3);
    const bool strip_after = starts("-%}", at);
    if (!strip_after && !starts("%}", at)) return false;
    const int line = line_;
    advance_to(at + (strip_after ? 3 : 2));
    if (strip_after) skip_space();
    line_starting_ = text_[at_ - 1] == '\n';
    const size_t begin = at_;
    for (size_t open = begin;; ++open) {
      open = text_.find("{%", open);
      if (open == std::string_view::npos) fail(line, "{% raw %} has no {% endraw %}");
      char mark = byte(open + 2);
      if (mark != '-' && mark != '+') mark = '\0';
      at = after_spaces(open + 2 + (mark != '\0'));
      if (!starts("endraw", at)) continue;
      at = after_spaces(at + 6);
      const char closing = byte(at) == '-' || byte(at) == '+' ? byte(at) : '\0';
      if (!starts("%}", at + (closing != '\0'))) continue;
      const auto text = before_tag(text_.substr(begin, open - begin), mark, false);
      if (!text.empty()) add(Token::Kind::kText, std::string(text));
      advance_to(at + 2 + (closing != '\0'));
      after_tag(closing);
      return true;
    }
  }

  void lex_code(bool is_variable) {
    const std::string_view close = is_variable ? "}}" : "%}";
    const int opened_line = line_;
    brackets_.clear();
    for (;;) {
      skip_space();
      if (at_ >= text_.size())
        fail(opened_line, fmt::format("{} has no {}", is_variable ? "{{" : "{%", close));
      if (brackets_.empty()) {
        const char first = text_[at_];
        const char mark = first == '-' || (first == '+' && !is_variable) ? first : '\0';
        if (starts(close, at_ + (mark != '\0'))) {
          add(is_variable ? Token::Kind::kVariableEnd : Token::Kind::kBlockEnd);
          advance_to(at_ + 2 + (mark != '\0'));
          if (!is_variable) return after_tag(mark);
          if (mark == '-') skip_space();
          line_starting_ = text_[at_ - 1] == '\n';
          return;
        }
      }
      lex_token();
    }
  }

  void lex_token() {
    const char c = text_[at_];
    if (c == '"' || c == '\'') return lex_string(c);
    if (is_digit(c)) return lex_number();
    if (is_name_byte(c)) {
      size_t end = at_;
      while (end < text_.size() && is_name_byte(text_[end])) ++end;
      add(Token::Kind::kName, std::string(text_.substr(at_, end - at_)));
      at_ = end;
      return;
    }
    static constexpr std::array<std::string_view, 26> kOperators = {
        "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view op : kOperators) {
      if (!starts(op, at_)) continue;
      balance(op[0]);
      add(Token::Kind::kOperator, std::string(op));
      at_ += op.size();
      return;
    }
    fail(line_, fmt::format("unexpected character '{}'", text_.substr(at_, 1)));
  }

  void balance(char bracket) {
    if (bracket == '(') brackets_ += ')';
    if (bracket == '[') brackets_ += ']';
    if (bracket == '{') brackets_ += '}';
    if (bracket != ')' && bracket != ']' && bracket != '}') return;
    if (brackets_.empty()) fail(line_, fmt::format("unexpected '{}'", bracket));
    if (brackets_.back() != bracket)
      fail(line_, fmt::format("expected '{}', found '{}'", brackets_.back(), bracket));
    brackets_.pop_back();
  }

  void lex_string(char quote) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail(line_, "a string has no closing quote");
    add(Token::Kind::kString, unescape(text_.substr(at_ + 1, end - at_ - 1)));
    advance_to(end + 1);
  }

  std::string unescape(std::string_view raw) {
    std::string out;
    out.reserve(raw.size());
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '\\' || i + 1 == raw.size()) {
        out += raw[i];
        continue;
      }
      static constexpr std::string_view kEscapes = "nrtabfv\\'\"",
                                        kMeanings = "\n\r\t\a\b\f\v\\'\"";
      const char c = raw[++i];
      if (const size_t at = kEscapes.find(c); at != std::string_view::npos)
        out += kMeanings[at];
      else if (c == '\n')
        continue;
      else if (c >= '0' && c <= '7')
        append_utf8(out, read_digits(raw, i, 3, 8));
      else if (c == 'x' || c == 'u' || c == 'U')
        unescape_hex(out, raw, i, c == 'x' ? 2 : c == 'u' ? 4 : 8);
      else if (c == 'N')
        fail(line_, "the escape \\N{name} is not supported");
      else
        (out += '\\') += c;
    }
    return out;
  }

  // Reads at most `most` digits from raw[i]; i ends on the last one read.
  uint32_t read_digits(std::string_view raw, size_t& i, size_t most, int base) {
    uint32_t value = 0;
    const std::string_view digits = raw.substr(i, most);
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
    i += static_cast<size_t>(end - digits.data()) - 1;
    return value;
  }

  void unescape_hex(std::string& out, std::string_view raw, size_t& i, size_t digits) {
    const size_t begin = i + 1;
    const auto is_hex = [](char c) {
      return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    };
    const std::string_view text = raw.substr(begin, digits);
    if (text.size() < digits || !std::all_of(text.begin(), text.end(), is_hex))
      fail(line_, fmt::format("the escape \\{} needs {} hexadecimal digits", raw[i], digits));
    i = begin;
    uint32_t code = read_digits(raw, i, digits, 16);
    // A surrogate pair, as JSON-minded authors write it.
    if (code >= 0xD800 && code < 0xDC00 && raw.substr(i + 1).starts_with("\\u")) {
      size_t next = i + 3;
      if (const uint32_t low = read_digits(raw, next, 4, 16); low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        i = next;
      }
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      fail(line_, fmt::format("the escape \\{} names no character", raw[begin - 1]));
    append_utf8(out, code);
  }

  size_t skip_digits(size_t at) const {
    while (is_digit(byte(at)) || (byte(at) == '_' && is_digit(byte(at + 1)))) ++at;
    return at;
  }

  void lex_number() {
    size_t end = at_;
    int base = 10;
    const char prefix = static_cast<char>(byte(at_ + 1) | 0x20);
    if (text_[at_] == '0' && (prefix == 'x' || prefix == 'o' || prefix == 'b')) {
      base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : 2;
      end += 2;
      while (is_name_byte(byte(end)) && static_cast<unsigned char>(byte(end)) < 0x80) ++end;
    } else {
      end = skip_digits(end);
    }
    bool is_float = false;
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';  // x.0.1 holds no number 0.1
    if (base == 10 && !after_dot) {
      if (byte(end) == '.' && is_digit(byte(end + 1))) {
        is_float = true;
        end = skip_digits(end + 1);
      }
      size_t exponent = end + 1;
      if (byte(exponent) == '+' || byte(exponent) == '-') ++exponent;
      if ((byte(end) | 0x20) == 'e' && is_digit(byte(exponent))) {
        is_float = true;
        end = skip_digits(exponent);
      }
    }
    std::string digits(text_.substr(at_, end - at_));
    std::erase(digits, '_');
    Token& token = add(is_float ? Token::Kind::kFloat : Token::Kind::kInteger, digits);
    const char* first = digits.data() + (base == 10 ? 0 : 2);
    const char* last = digits.data() + digits.size();
    if (is_float) {
      // Out of range is infinity or zero, as in Python.
      if (std::from_chars(first, last, token.real).ec == std::errc::result_out_of_range)
        token.real = std::strtod(digits.c_str(), nullptr);
    } else if (const auto read = std::from_chars(first, last, token.integer, base);
               read.ec != std::errc{} || read.ptr != last) {
      fail(line_, fmt::format("'{}' is not an integer of 64 bits", digits));
    } else if (base == 10 && digits.size() > 1 && digits[0] == '0' && token.integer != 0) {
      fail(line_, fmt::format("the integer '{}' begins with 0", digits));
    }
    at_ = end;
  }

  std::string source_;
  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string brackets_;  // the closing ones expected, innermost last
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace dspark::tokenizer::jinja

// str(), repr() and json.dumps() of values.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

constexpr int kMaxWriteDepth = 200;  // namespaces may hold themselves

class Writer {
 public:
  Writer(std::string& out, Budget& budget) : out_(out), budget_(budget) {}

  void repr(const Value& value, int depth) {
    enter(depth);
    switch (value.kind()) {
      case Value::Kind::kUndefined:
        out_ += "Undefined";
        break;
      case Value::Kind::kNone:
        out_ += "None";
        break;
      case Value::Kind::kBool:
        out_ += value.as_bool() ? "True" : "False";
        break;
      case Value::Kind::kInt:
        out_ += fmt::format("{}", value.as_int());
        break;
      case Value::Kind::kFloat:
        out_ += float_repr(value.as_float());
        break;
      case Value::Kind::kString:
        quoted(value.text());
        break;
      case Value::Kind::kSequence:
        sequence(value.sequence(), depth);
        break;
      case Value::Kind::kDict:
        dict(value.dict(), depth);
        break;
      case Value::Kind::kNamespace:
        out_ += "<Namespace ";
        dict(value.name_space().attributes, depth);
        out_ += '>';
        break;
      case Value::Kind::kLoop:
        out_ += fmt::format("<LoopContext {}/{}>", value.loop().index + 1,
                            value.loop().sequence->items.size());
        break;
      case Value::Kind::kCallable:
        if (!value.callable().macro)
          raise("'{}' is a function and has no text; call it", value.callable().name);
        out_ += fmt::format("<Macro '{}'>", value.callable().name);
        break;
    }
    budget_.expect_string(out_.size());
  }

  void json(const Value& value, const JsonStyle& style, int depth) {
    enter(depth);
    switch (value.kind()) {
      case Value::Kind::kNone:
        out_ += "null";
        break;
      case Value::Kind::kBool:
        out_ += value.as_bool() ? "true" : "false";
        break;
      case Value::Kind::kInt:
        out_ += fmt::format("{}", value.as_int());
        break;
      case Value::Kind::kFloat:
        out_ += json_float(value.as_float());
        break;
      case Value::Kind::kString:
        json_string(value.text(), style.ensure_ascii);
        break;
      case Value::Kind::kSequence:
        if (!value.is_sequence(SequenceKind::kList) && !value.is_tuple())
          raise("a {} can't be written as JSON; make it a list first", value.type_name());
        json_list(value.items(), style, depth);
        break;
      case Value::Kind::kDict:
        json_dict(value.dict(), style, depth);
        break;
      default:
        raise("a value of type {} can't be written as JSON", value.type_name());
    }
    budget_.expect_string(out_.size());
  }

 private:
  void enter(int depth) {
    budget_.step();
    if (depth > kMaxWriteDepth) raise("a value is nested more than {} deep", kMaxWriteDepth);
  }

  void quoted(std::string_view text) {
    budget_.work(text.size());
    const bool has_single = text.find('\'') != std::string_view::npos;
    const bool has_double = text.find('"') != std::string_view::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    out_ += quote;
    for (CharReader reader(text); !reader.done();) {
      const std::string_view c = reader.next();
      const uint32_t code = code_point(c);
      if (c[0] == quote || c[0] == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (c == "\n") {
        out_ += "\\n";
      } else if (c == "\r") {
        out_ += "\\r";
      } else if (c == "\t") {
        out_ += "\\t";
      } else if (code < 0x80 ? code < 0x20 || code == 0x7F : in_class(c, CharClass::kUnprintable)) {
        out_ += code < 0x100     ? fmt::format("\\x{:02x}", code)
                : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                                 : fmt::format("\\U{:08x}", code);
      } else {
        out_ += c;
      }
    }
    out_ += quote;
  }

  void sequence(const Sequence& sequence, int depth) {
    std::string_view open = "[", close = "]";
    switch (sequence.kind) {
      case SequenceKind::kList:
        break;
      case SequenceKind::kTuple:
      case SequenceKind::kGroup:
        open = "(", close = sequence.items.size() == 1 ? ",)" : ")";
        break;
      default:
        raise("a range, view or generator has no text of its own; make it a list first");
    }
    out_ += open;
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) out_ += ", ";
      repr(sequence.items[i], depth + 1);
    }
    out_ += close;
  }

  void dict(const Dict& dict, int depth) {
    out_ += '{';
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) out_ += ", ";
      repr(dict.entries[i].key, depth + 1);
      out_ += ": ";
      repr(dict.entries[i].value, depth + 1);
    }
    out_ += '}';
  }

  static std::string json_float(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return float_repr(value);
  }

  void json_string(std::string_view text, bool ensure_ascii) {
    budget_.work(text.size());
    out_ += '"';
    if (!ensure_ascii) {
      for (const char c : text) json_char(c);
    } else {
      for (CharReader reader(text); !reader.done();) {
        const std::string_view c = reader.next();
        const uint32_t code = code_point(c);
        if (code < 0x80)
          json_char(static_cast<char>(code));
        else if (code < 0x10000)
          out_ += fmt::format("\\u{:04x}", code);
        else
          out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                              0xDC00 + ((code - 0x10000) & 0x3FF));
      }
    }
    out_ += '"';
  }

  void json_char(char c) {
    switch (c) {
      case '"':
        out_ += "\\\"";
        return;
      case '\\':
        out_ += "\\\\";
        return;
      case '\n':
        out_ += "\\n";
        return;
      case '\r':
        out_ += "\\r";
        return;
      case '\t':
        out_ += "\\t";
        return;
      case '\f':
        out_ += "\\f";
        return;
      case '\b':
        out_ += "\\b";
        return;
    }
    if (static_cast<unsigned char>(c) < 0x20)
      out_ += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out_ += c;
  }

  void new_line(const JsonStyle& style, int depth) {
    if (!style.multiline) return;
    out_ += '\n';
    budget_.expect_string(out_.size() + style.indent.size() * static_cast<size_t>(depth));
    for (int i = 0; i < depth; ++i) out_ += style.indent;
  }

  void json_list(const std::vector<Value>& items, const JsonStyle& style, int depth) {
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style.item_separator;
      new_line(style, depth + 1);
      json(items[i], style, depth + 1);
    }
    if (!items.empty()) new_line(style, depth);
    out_ += ']';
  }

  void json_dict(const Dict& dict, const JsonStyle& style, int depth) {
    std::vector<const Dict::Entry*> entries;
    entries.reserve(dict.entries.size());
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style.sort_keys)
      std::stable_sort(entries.begin(), entries.end(),
                       [&](auto* a, auto* b) { return less(a->key, b->key, budget_); });
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style.item_separator;
      new_line(style, depth + 1);
      json_string(json_key(entries[i]->key), style.ensure_ascii);
      out_ += style.key_separator;
      json(entries[i]->value, style, depth + 1);
    }
    if (!entries.empty()) new_line(style, depth);
    out_ += '}';
  }

  static std::string json_key(const Value& key) {
    switch (key.kind()) {
      case Value::Kind::kString:
        return key.text();
      case Value::Kind::kNone:
        return "null";
      case Value::Kind::kBool:
        return key.as_bool() ? "true" : "false";
      case Value::Kind::kInt:
        return fmt::format("{}", key.as_int());
      case Value::Kind::kFloat:
        return json_float(key.as_float());
      default:
        raise("a key of type {} can't be written as JSON", key.type_name());
    }
  }

  std::string& out_;
  Budget& budget_;
};

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(scientific.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const char* digits = text.data() + e + 1 + (text[e + 1] == '+');
  std::from_chars(digits, scientific.ptr, exponent);
  if (exponent < -4 || exponent >= 16)
    return fmt::format("{}e{}{:02d}", text.substr(0, e), exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string out(buffer, static_cast<size_t>(fixed.ptr - buffer));
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

void append_str(std::string& out, const Value& value, Budget& budget) {
  if (value.is(Value::Kind::kString)) {
    budget.work(value.text().size());
    budget.expect_string(out.size() + value.text().size());
    out += value.text();
  } else if (!value.is(Value::Kind::kUndefined)) {
    append_repr(out, value, budget);
  }
}

void append_repr(std::string& out, const Value& value, Budget& budget) {
  Writer(out, budget).repr(value, 0);
}

std::string to_str(const Value& value, Budget& budget) {
  std::string out;
  append_str(out, value, budget);
  return out;
}

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  std::string out;
  Writer(out, budget).json(value, style, 0);
  return out;
}

}  // namespace dspark::tokenizer::jinja

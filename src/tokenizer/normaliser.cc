#include "tokenizer/normaliser.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/base.h"
#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

// No character below U+0300 changes in NFC, below U+0080 in any form.
bool is_normal_already(std::string_view text, Normaliser::Form form) {
  const uint8_t first_lead = form == Normaliser::Form::kNfc ? 0xcc : 0x80;
  return std::all_of(text.begin(), text.end(), [first_lead](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte < first_lead;
  });
}

// Marks sort by combining class, stably, between characters of class 0. utf8proc's own
// decomposition sorts in quadratic time, which a long run of marks would make minutes of.
void order_marks(std::vector<int32_t>& codes) {
  const auto mark_class = [](int32_t code) { return utf8proc_get_property(code)->combining_class; };
  for (auto begin = codes.begin(); begin != codes.end();) {
    if (mark_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end =
        std::find_if(begin, codes.end(), [&](int32_t code) { return mark_class(code) == 0; });
    if (end - begin > 1)
      std::stable_sort(begin, end,
                       [&](int32_t a, int32_t b) { return mark_class(a) < mark_class(b); });
    begin = end;
  }
}

std::string to_form(std::string_view text, Normaliser::Form form) {
  using Form = Normaliser::Form;
  const bool compatible = form == Form::kNfkc || form == Form::kNfkd;
  const auto decompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                        (compatible ? UTF8PROC_COMPAT : 0));
  std::vector<int32_t> codes;
  codes.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = read_utf8(text);
    CHECK(c.length > 0);
    text.remove_prefix(static_cast<size_t>(c.length));
    int32_t parts[32];  // the longest decomposition has 18
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<int32_t>(c.code_point), parts, 32, decompose,
                                           &boundary);
    if (n >= 1 && n <= 32)
      codes.insert(codes.end(), parts, parts + n);
    else
      codes.push_back(static_cast<int32_t>(c.code_point));
  }
  order_marks(codes);
  auto length = static_cast<utf8proc_ssize_t>(codes.size());
  if (form == Form::kNfc || form == Form::kNfkc)
    length = utf8proc_normalize_utf32(
        codes.data(), length, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  std::string result;
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    append_utf8(static_cast<uint32_t>(codes[static_cast<size_t>(i)]), result);
  return result;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  result.reserve(text.size() + text.size() / 4);
  for (size_t at; (at = text.find(from)) != std::string_view::npos;
       text.remove_prefix(at + from.size())) {
    result += text.substr(0, at);
    result += to;
  }
  return result += text;
}

}  // namespace

double Normaliser::growth() const {
  double growth = 1;
  for (const Step& step : steps_)
    if (step.kind == Kind::kReplace)
      growth *= std::max(
          1.0, static_cast<double>(step.to.size()) / static_cast<double>(step.from.size()));
  return growth;
}

std::string_view Normaliser::apply(std::string_view text, bool first, std::string& buffer) const {
  for (const Step& step : steps_) {
    if (text.empty()) break;
    std::string changed;
    switch (step.kind) {
      case Kind::kForm:
        if (is_normal_already(text, step.form)) continue;
        changed = to_form(text, step.form);
        break;
      case Kind::kReplace:
        if (text.find(step.from) == std::string_view::npos) continue;
        changed = replace_all(text, step.from, step.to);
        break;
      case Kind::kPrefix:
        if (!first) continue;
        changed = step.to + std::string(text);
        break;
    }
    buffer.swap(changed);
    text = buffer;
  }
  return text;
}

}  // namespace dspark::tokenizer

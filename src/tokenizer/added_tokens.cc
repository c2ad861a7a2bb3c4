#include "tokenizer/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

bool is_space(uint32_t c) {  // White_Space
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_word(uint32_t c) {
  switch (utf8proc_category(static_cast<int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return c == 0x200c || c == 0x200d ||
             (c >= 0x24b6 && c <= 0x24e9);  // joiners, circled letters
  }
}

// The character that ends at text's end.
Utf8Char last_char(std::string_view text) {
  for (size_t n = 1; n <= 4 && n <= text.size(); ++n) {
    const Utf8Char c = read_utf8(text.substr(text.size() - n));
    if (c.length == static_cast<int>(n)) return c;
  }
  return {0, 0};
}

}  // namespace

void AddedTokens::finish() {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(),
                            [](const Entry& a, const Entry& b) { return a.text == b.text; }),
                tokens_.end());
  by_first_byte_.fill({});
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    Span& span = by_first_byte_[static_cast<uint8_t>(tokens_[i].text[0])];
    if (span.end == 0) span.begin = i;
    span.end = i + 1;
  }
}

const AddedTokens::Entry* AddedTokens::longest_at(std::string_view text, bool with_control) const {
  const Span span = by_first_byte_[static_cast<uint8_t>(text[0])];
  auto begin = tokens_.begin() + span.begin, end = tokens_.begin() + span.end;
  const Entry* best = nullptr;
  // [begin, end): the tokens that agree with text on its first `depth` bytes.
  for (size_t depth = 1; begin != end; ++depth) {
    if (begin->text.size() == depth) {
      if (with_control || !begin->token.control) best = &*begin;
      ++begin;
    }
    if (depth == text.size()) break;
    const auto byte = static_cast<uint8_t>(text[depth]);
    const auto at = [depth](const Entry& e) { return static_cast<uint8_t>(e.text[depth]); };
    begin = std::partition_point(begin, end, [&](const Entry& e) { return at(e) < byte; });
    end = std::partition_point(begin, end, [&](const Entry& e) { return at(e) == byte; });
  }
  return best;
}

void AddedTokens::find(std::string_view text, bool with_control,
                       std::vector<Match>& matches) const {
  matches.clear();
  if (tokens_.empty()) return;
  size_t done = 0;  // end of the last match
  for (size_t at = 0; at < text.size();) {
    if (by_first_byte_[static_cast<uint8_t>(text[at])].end == 0) {
      ++at;
      continue;
    }
    const Entry* entry = longest_at(text.substr(at), with_control);
    if (entry == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + entry->text.size();
    at = end;
    const AddedToken& token = entry->token;
    if (token.single_word) {
      const Utf8Char before = last_char(text.substr(0, begin)), after = read_utf8(text.substr(end));
      if ((before.length > 0 && is_word(before.code_point)) ||
          (after.length > 0 && is_word(after.code_point)))
        continue;
    }
    while (token.strip_left && begin > done) {
      const Utf8Char c = last_char(text.substr(done, begin - done));
      if (c.length == 0 || !is_space(c.code_point)) break;
      begin -= static_cast<size_t>(c.length);
    }
    while (token.strip_right && end < text.size()) {
      const Utf8Char c = read_utf8(text.substr(end));
      if (c.length == 0 || !is_space(c.code_point)) break;
      end += static_cast<size_t>(c.length);
    }
    matches.push_back({begin, end, token.id});
    at = done = end;
  }
}

}  // namespace dspark::tokenizer

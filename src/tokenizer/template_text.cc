#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/template_text.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace dspark::tokenizer::jinja {

namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }
bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

pcre2_code* compile_pattern(const char* pattern) {
  int error = 0;
  size_t offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_DOTALL, &error, &offset, nullptr);
  CHECK(code != nullptr, "pattern {} does not compile: error {}", pattern, error);
  return code;
}

// PCRE2's own Unicode tables do the case mapping. Text that is not UTF-8 keeps its non-ASCII bytes.
std::string map_case(std::string_view text, const char* replacement, char (*ascii)(char)) {
  std::string out(text);
  if (!is_ascii(text)) {
    static pcre2_code* const kAll = compile_pattern(".+");
    size_t size = text.size() * 2 + 16;  // a simple mapping at most doubles a character's bytes
    out.resize(size);
    const int count = pcre2_substitute(
        kAll, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, PCRE2_SUBSTITUTE_EXTENDED,
        nullptr, nullptr, reinterpret_cast<PCRE2_SPTR>(replacement), PCRE2_ZERO_TERMINATED,
        reinterpret_cast<PCRE2_UCHAR*>(out.data()), &size);
    if (count >= 0) {
      out.resize(size);
      return out;
    }
    out = text;
  }
  std::transform(out.begin(), out.end(), out.begin(), ascii);
  return out;
}

}  // namespace

size_t count_chars(std::string_view text) {
  size_t count = !text.empty() && is_continuation(text[0]) ? 1 : 0;
  for (const char c : text) count += !is_continuation(c);
  return count;
}

size_t byte_offset(std::string_view text, size_t chars) {
  size_t at = 0;
  for (; chars > 0 && at < text.size(); --chars) {
    ++at;
    while (at < text.size() && is_continuation(text[at])) ++at;
  }
  return at;
}

std::string_view CharReader::next() {
  const size_t bytes = byte_offset(text_, 1);
  const std::string_view character = text_.substr(0, bytes);
  text_.remove_prefix(bytes);
  return character;
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 63));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 63));
    out += static_cast<char>(0x80 | (c & 63));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 63));
    out += static_cast<char>(0x80 | (c >> 6 & 63));
    out += static_cast<char>(0x80 | (c & 63));
  }
}

uint32_t code_point(std::string_view character) {
  constexpr uint32_t kBad = 0xFFFD;
  if (character.empty()) return kBad;
  const auto lead = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return lead < 0x80 ? lead : kBad;
  static constexpr std::array<unsigned char, 5> kLeadMask = {0, 0, 0x1F, 0x0F, 0x07};
  static constexpr std::array<unsigned char, 5> kLeadBits = {0, 0, 0xC0, 0xE0, 0xF0};
  const size_t n = character.size();
  if (n > 4 || (lead & ~kLeadMask[n] & 0xFF) != kLeadBits[n]) return kBad;
  uint32_t c = lead & kLeadMask[n];
  for (size_t i = 1; i < n; ++i) c = c << 6 | (static_cast<unsigned char>(character[i]) & 63);
  return c <= 0x10FFFF ? c : kBad;
}

bool is_space(uint32_t c) {
  if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

namespace {

template <class Strips>
std::string_view strip_where(std::string_view text, Sides sides, Strips strips) {
  while ((sides & kLeft) && !text.empty()) {
    const size_t bytes = byte_offset(text, 1);
    if (!strips(text.substr(0, bytes))) break;
    text.remove_prefix(bytes);
  }
  while ((sides & kRight) && !text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && is_continuation(text[at])) --at;
    if (!strips(text.substr(at))) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

}  // namespace

std::string_view strip(std::string_view text, Sides sides) {
  return strip_where(text, sides, [](std::string_view c) { return is_space(code_point(c)); });
}

std::string_view strip(std::string_view text, Sides sides, std::string_view characters) {
  return strip_where(text, sides, [&](std::string_view c) {
    for (CharReader reader(characters); !reader.done();)
      if (reader.next() == c) return true;
    return false;
  });
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* at = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return at ? static_cast<size_t>(static_cast<const char*>(at) - text.data())
            : std::string_view::npos;
}

size_t rfind_text(std::string_view text, std::string_view needle) {
  const std::string back(text.rbegin(), text.rend()), wanted(needle.rbegin(), needle.rend());
  const size_t at = find_text(back, wanted);
  return at == std::string_view::npos ? at : text.size() - at - needle.size();
}

std::string to_upper(std::string_view text) {
  if (is_ascii(text)) return map_case(text, "\\U$0", ascii_upper);
  constexpr std::string_view kSharpS = "\xC3\x9F";
  std::string changed(text);
  for (size_t at = 0; (at = find_text(changed, kSharpS, at)) != std::string::npos; at += 2)
    changed.replace(at, 2, "SS");
  return map_case(changed, "\\U$0", ascii_upper);
}

std::string to_lower(std::string_view text) { return map_case(text, "\\L$0", ascii_lower); }

std::string capitalize(std::string_view text) {
  const size_t first = byte_offset(text, 1);
  return to_upper(text.substr(0, first)) + to_lower(text.substr(first));
}

std::string replace_text(std::string_view text, std::string_view old, std::string_view with,
                         int64_t most, Budget& budget) {
  const size_t limit = most < 0 ? SIZE_MAX : static_cast<size_t>(most);
  std::string out;
  size_t at = 0, count = 0;
  budget.work(text.size());
  const auto append = [&](std::string_view part) {
    budget.expect_string(out.size() + part.size());
    out += part;
  };
  if (old.empty()) {  // before every character, and at the end
    for (; count < limit && at < text.size(); ++count) {
      const size_t bytes = byte_offset(text.substr(at), 1);
      append(with);
      append(text.substr(at, bytes));
      at += bytes;
    }
    if (count < limit && at == text.size()) append(with);
  }
  for (size_t found; !old.empty() && count < limit; ++count) {
    if ((found = find_text(text, old, at)) == std::string_view::npos) break;
    append(text.substr(at, found - at));
    append(with);
    at = found + old.size();
  }
  append(text.substr(at));
  return out;
}

std::string pad_text(std::string_view text, int64_t width, std::string_view fill, int sides,
                     Budget& budget) {
  const auto chars = static_cast<int64_t>(count_chars(text));
  const int64_t missing = std::max<int64_t>(width, chars) - chars;
  if (static_cast<uint64_t>(missing) > budget.limits().string_bytes)
    raise("a text would be filled up to {} characters", width);
  budget.expect_string(text.size() + static_cast<size_t>(missing) * fill.size());
  const int64_t centred = missing / 2 + (missing & width & 1);  // as Python rounds
  const int64_t before = sides == kLeft ? missing : sides == kRight ? 0 : centred;
  std::string out;
  for (int64_t i = 0; i < before; ++i) out += fill;
  out += text;
  for (int64_t i = before; i < missing; ++i) out += fill;
  return out;
}

bool in_class(std::string_view character, CharClass char_class) {
  static const std::array<pcre2_code*, 7> kPatterns = {
      compile_pattern("\\p{L}"),
      compile_pattern("[\\p{Nd}\u00B2\u00B3\u00B9\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468]"),
      compile_pattern("[\\p{L}\\p{N}]"),
      compile_pattern("[\\p{L}\\p{N}_]"),
      compile_pattern("[\\p{C}\\p{Zl}\\p{Zp}\\p{Zs}]"),
      compile_pattern("\\p{Lu}"),
      compile_pattern("\\p{Ll}"),
  };
  if (character.size() == 1) {
    const auto c = static_cast<unsigned char>(character[0]);
    const bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
    const bool digit = c >= '0' && c <= '9';
    switch (char_class) {
      case CharClass::kAlpha:
        return upper || lower;
      case CharClass::kDigit:
        return digit;
      case CharClass::kAlnum:
        return upper || lower || digit;
      case CharClass::kWord:
        return upper || lower || digit || c == '_';
      case CharClass::kUnprintable:
        return c < 0x20 || c == 0x7F;
      case CharClass::kUpper:
        return upper;
      case CharClass::kLower:
        return lower;
    }
  }
  struct MatchData {
    pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
    ~MatchData() { pcre2_match_data_free(data); }
  };
  thread_local MatchData match;
  return pcre2_match(kPatterns[static_cast<size_t>(char_class)],
                     reinterpret_cast<PCRE2_SPTR>(character.data()), character.size(), 0,
                     PCRE2_ANCHORED, match.data, nullptr) > 0;
}

}  // namespace dspark::tokenizer::jinja

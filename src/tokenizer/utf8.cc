#include "tokenizer/utf8.h"

#include <fmt/format.h>

namespace dspark::tokenizer {
namespace {

// What a first byte promises: the character's length (0: none starts so), and the second byte's
// range.
struct Lead {
  int length;
  uint8_t low, high;
};
Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2 || byte > 0xf4) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte < 0xf0)
    return {3, static_cast<uint8_t>(byte == 0xe0 ? 0xa0 : 0x80),
            static_cast<uint8_t>(byte == 0xed ? 0x9f : 0xbf)};
  return {4, static_cast<uint8_t>(byte == 0xf0 ? 0x90 : 0x80),
          static_cast<uint8_t>(byte == 0xf4 ? 0x8f : 0xbf)};
}

// How many of text's first bytes fit the lead.
int matching_bytes(std::string_view text, const Lead& lead) {
  int n = 1;
  while (n < lead.length && static_cast<size_t>(n) < text.size()) {
    const auto byte = static_cast<uint8_t>(text[static_cast<size_t>(n)]);
    const bool fits = n == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xc0) == 0x80;
    if (!fits) break;
    ++n;
  }
  return n;
}

}  // namespace

Utf8Char read_utf8(std::string_view text) {
  if (text.empty()) return {0, 0};
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {first, 1};
  const Lead lead = lead_of(first);
  if (lead.length == 0 || matching_bytes(text, lead) < lead.length) return {0, 0};
  uint32_t code = first & (0x7fu >> lead.length);
  for (int i = 1; i < lead.length; ++i)
    code = code << 6 | (static_cast<uint8_t>(text[static_cast<size_t>(i)]) & 0x3f);
  return {code, lead.length};
}

BrokenUtf8 read_broken_utf8(std::string_view text) {
  const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
  if (lead.length == 0) return {1, true};
  const int n = matching_bytes(text, lead);
  return {n, static_cast<size_t>(n) < text.size()};
}

void append_utf8(uint32_t code_point, std::string& text) {
  const auto put = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      put(0xe0 | code_point >> 12);
    } else {
      put(0xf0 | code_point >> 18);
      put(0x80 | (code_point >> 12 & 0x3f));
    }
    put(0x80 | (code_point >> 6 & 0x3f));
  }
  put(0x80 | (code_point & 0x3f));
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (size_t at = 0; at < text.size();) {
    if (at >= 60) return result + "\"...";
    const Utf8Char c = read_utf8(text.substr(at));
    const bool plain = c.length > 0 && c.code_point >= 0x20 && c.code_point != 0x7f &&
                       (c.code_point < 0x80 || c.code_point >= 0xa0);
    const auto length = static_cast<size_t>(c.length > 0 ? c.length : 1);
    if (plain) {
      result += text.substr(at, length);
    } else {
      for (char byte : text.substr(at, length))
        result += fmt::format("\\x{:02x}", static_cast<uint8_t>(byte));
    }
    at += length;
  }
  return result + "\"";
}

}  // namespace dspark::tokenizer

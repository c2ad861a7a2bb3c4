#include "tokenizer/spelling.h"

#include <array>

#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581

// GPT-2 keeps the printable bytes of Latin-1 and moves the other 68 to U+0100 and up, in order.
struct ByteSpellings {
  std::array<std::string, 256> text;
  std::array<int16_t, 512> byte;
  ByteSpellings() {
    byte.fill(-1);
    uint32_t moved = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
      const uint32_t code = printable ? b : moved++;
      byte[code] = static_cast<int16_t>(b);
      append_utf8(code, text[b]);
    }
  }
};
const ByteSpellings& spellings() {
  static const ByteSpellings table;
  return table;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

const std::string& byte_spelling(uint8_t byte) { return spellings().text[byte]; }
int byte_of_spelling(uint32_t code_point) {
  return code_point < 512 ? spellings().byte[code_point] : -1;
}

int fallback_byte(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const int high = hex_digit(text[3]), low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void append_bytes(std::string_view text, TokenKind kind, Spelling spelling, std::string& bytes) {
  if (kind == TokenKind::kControl ||
      (kind == TokenKind::kUserDefined && spelling == Spelling::kByteLevel)) {
    bytes += text;
    return;
  }
  if (spelling == Spelling::kPlain) {
    if (kind == TokenKind::kByte) {
      bytes += static_cast<char>(fallback_byte(text));
      return;
    }
    for (size_t at; (at = text.find(kSpaceMark)) != std::string_view::npos;
         text.remove_prefix(at + kSpaceMark.size())) {
      bytes += text.substr(0, at);
      bytes += ' ';
    }
    bytes += text;
    return;
  }
  const size_t before = bytes.size();
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Char c = read_utf8(rest);
    const int byte = c.length == 0 ? -1 : byte_of_spelling(c.code_point);
    if (byte < 0) {  // not spelled by bytes: the token stands for itself
      bytes.resize(before);
      bytes += text;
      return;
    }
    bytes += static_cast<char>(byte);
    rest.remove_prefix(static_cast<size_t>(c.length));
  }
}

}  // namespace dspark::tokenizer

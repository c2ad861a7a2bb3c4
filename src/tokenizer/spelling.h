// How a vocabulary spells the bytes that a token stands for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dspark::tokenizer {

enum class TokenKind : uint8_t { kNormal, kControl, kUserDefined, kByte, kUnused };
enum class Spelling : uint8_t {
  kByteLevel,  // GPT-2's: every byte is one printable character
  kPlain,      // Gemma's: text itself, U+2581 for a space, <0xXX> for bytes
};

// GPT-2's printable stand-in of a byte, as UTF-8, and the byte of a code point (-1 when it is
// none).
const std::string& byte_spelling(uint8_t byte);
int byte_of_spelling(uint32_t code_point);

// The byte of "<0xXX>"; -1 for any other text.
int fallback_byte(std::string_view text);

// Appends what a token stands for. Control and (byte-level) user-defined tokens spell their own
// text.
void append_bytes(std::string_view text, TokenKind kind, Spelling spelling, std::string& bytes);

}  // namespace dspark::tokenizer

// Splits a template into text and the tokens inside {{ }} and {% %}. White space is handled here:
// the '-' and '+' marks, and trim_blocks and lstrip_blocks, which are always on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dspark::tokenizer::jinja {

struct Token {
  enum class Kind : uint8_t {
    kText,
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,  // text holds the unescaped content
    kInteger,
    kFloat,
    kOperator,  // text is the operator
    kEnd,
  };
  Kind kind = Kind::kEnd;
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

// A TemplateError with the line, for the layers that know it before any node exists.
struct SyntaxError {
  int line;
  std::string message;
};

// The last token is kEnd. Throws SyntaxError.
std::vector<Token> tokenize(std::string_view source);

}  // namespace dspark::tokenizer::jinja

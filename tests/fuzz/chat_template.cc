// Any bytes as a chat template: an error that names the line, or text within the bounds. Limits are
// lower than a render's own, so that an input takes milliseconds.
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_parser.h"

namespace {

using namespace dspark::tokenizer::jinja;

Limits low_limits() {
  Limits limits;
  limits.template_bytes = 1 << 16;
  limits.steps = 100'000;
  limits.work_bytes = 8 << 20;
  limits.string_bytes = 1 << 20;
  limits.list_items = 20'000;
  return limits;
}

const nlohmann::ordered_json& context() {
  static const auto kContext = nlohmann::ordered_json::parse(R"({
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "na\u00efve \u65e5\u672c \ud83d\ude42\n"},
      {"role": "assistant", "content": "<think>a</think>b", "tool_calls": [
        {"function": {"name": "f", "arguments": {"x": [1, 2.5, null, true], "y": "z"}}}]}
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d",
      "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "n": 7
  })");
  return kContext;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Limits limits = low_limits();
  if (size > limits.template_bytes) return 0;
  Program program;
  try {
    program = parse_template({reinterpret_cast<const char*>(data), size}, limits);
  } catch (const SyntaxError& error) {
    CHECK(error.line >= 1 && !error.message.empty());
    return 0;
  }
  Interpreter interpreter(program, limits, 1721984461);
  try {
    CHECK(interpreter.render(context()).size() <= limits.string_bytes);
  } catch (const TemplateError& error) {
    CHECK(interpreter.line() >= 1 && !error.message.empty());
  }
  return 0;
}

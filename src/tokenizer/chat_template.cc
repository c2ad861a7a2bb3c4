#include "tokenizer/chat_template.h"

#include <algorithm>

#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_parser.h"

namespace dspark::tokenizer {

struct ChatTemplate::Program {
  std::string name;
  jinja::Program tree;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::compile(std::string_view text, const std::string& name) {
  const jinja::Limits limits;
  if (text.size() > limits.template_bytes)
    return fail("{}: the chat template has {} bytes, expected at most {}", name, text.size(),
                limits.template_bytes);
  try {
    auto program = std::make_unique<Program>(Program{name, jinja::parse_template(text, limits)});
    return ChatTemplate(std::move(program));
  } catch (const jinja::SyntaxError& error) {
    return fail("{}: line {}: {}", name, error.line, error.message);
  }
}

bool ChatTemplate::reads(std::string_view variable) const {
  const auto& names = program_->tree.symbols;
  return std::find(names.begin(), names.end(), variable) != names.end();
}

Result<std::string> ChatTemplate::render(const nlohmann::ordered_json& context,
                                         int64_t now_unix_s) const {
  jinja::Interpreter interpreter(program_->tree, jinja::Limits{}, now_unix_s);
  try {
    return interpreter.render(context);
  } catch (const jinja::TemplateError& error) {
    return fail("{}: line {}: {}", program_->name, interpreter.line(), error.message);
  }
}

}  // namespace dspark::tokenizer

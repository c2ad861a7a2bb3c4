// A model's own chat template (Jinja text, untrusted), compiled once and rendered many times by an
// interpreter of the subset that public templates use. What it cannot run is an error that names
// the line. Steps, nesting and output are bounded.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/base.h"

namespace dspark::tokenizer {

class ChatTemplate {
 public:
  // name is used in messages. Errors name the line of the template.
  static Result<ChatTemplate> compile(std::string_view text, const std::string& name);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Whether it names this variable.
  bool reads(std::string_view variable) const;
  // context: an object of the template's variables: "messages", "add_generation_prompt",
  // "bos_token", "eos_token", "tools", ... Functions raise_exception and strftime_now are always
  // there. now_unix_s is the time that strftime_now formats (UTC).
  Result<std::string> render(const nlohmann::ordered_json& context, int64_t now_unix_s) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace dspark::tokenizer

// From what a user writes to the ids a model reads: chat template, begin-of-text token, encoding.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "tokenizer/bpe.h"
#include "tokenizer/chat_template.h"

namespace dspark::tokenizer {

// The tokenizer of a model, without its weights. An error where it has none.
Result<Tokenizer> load_tokenizer(const std::filesystem::path& model);

// {"role", "content"}
nlohmann::ordered_json message(const char* role, std::string_view content);

class PromptEncoder {
 public:
  // The tokenizer outlives the encoder; name is the model's, for messages. A template that can't be
  // compiled is an error only where it is needed.
  PromptEncoder(const Tokenizer& tokenizer, std::string name);

  // Whether there is a template that names this variable.
  bool template_reads(std::string_view variable) const;
  // The template's text for `context`: an object with "messages" and whatever else the template
  // reads. add_generation_prompt, bos_token, eos_token, tools and documents are added where absent,
  // as the templates' usual host does.
  Result<std::string> render(nlohmann::ordered_json context) const;
  // Messages with the generation prompt, control tokens parsed, and the begin-of-text token in
  // front if the model wants it and the template gave none.
  Result<std::vector<int32_t>> encode_chat(const nlohmann::ordered_json& messages) const;
  // The same of text that render() gave.
  Result<std::vector<int32_t>> encode_rendered(std::string_view text) const;
  // Text as it is: the spelling of a control token is plain text. Begin-of-text in front if the
  // model wants it.
  Result<std::vector<int32_t>> encode_raw(std::string_view text) const;

 private:
  std::vector<int32_t> with_bos(std::vector<int32_t> ids) const;
  Status has_tokenizer() const;

  const Tokenizer* tokenizer_;
  std::string name_;
  Result<ChatTemplate> template_;
};

}  // namespace dspark::tokenizer

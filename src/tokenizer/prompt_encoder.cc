#include "tokenizer/prompt_encoder.h"

#include <chrono>

namespace dspark::tokenizer {

using Json = nlohmann::ordered_json;

Result<Tokenizer> load_tokenizer(const std::filesystem::path& model) {
  DSPARK_TRY(auto tokenizer, Tokenizer::open(model));
  if (tokenizer.vocab_size() == 0) return fail("{}: the model has no tokenizer", model.string());
  return tokenizer;
}

Json message(const char* role, std::string_view content) {
  return Json{{"role", role}, {"content", content}};
}

PromptEncoder::PromptEncoder(const Tokenizer& tokenizer, std::string name)
    : tokenizer_(&tokenizer),
      name_(std::move(name)),
      template_(tokenizer.chat_template().empty()
                    ? fail("{}: the model has no chat template; --raw sends text as it is", name_)
                    : ChatTemplate::compile(tokenizer.chat_template(), name_ + ": chat template")) {
}

bool PromptEncoder::template_reads(std::string_view variable) const {
  return template_.ok() && template_.value().reads(variable);
}

Result<std::string> PromptEncoder::render(Json context) const {
  if (!template_) return template_.error();
  const auto token_text = [&](std::optional<int32_t> id) {
    return id ? std::string(tokenizer_->token_text(*id)) : std::string();
  };
  const auto add = [&](const char* key, Json value) {
    if (!context.contains(key)) context[key] = std::move(value);
  };
  add("add_generation_prompt", false);
  add("bos_token", token_text(tokenizer_->bos_id()));
  add("eos_token", token_text(tokenizer_->eos_id()));
  add("tools", nullptr);
  add("documents", nullptr);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return template_.value().render(context,
                                  std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

Result<std::vector<int32_t>> PromptEncoder::encode_chat(const Json& messages) const {
  DSPARK_RETURN_IF_ERROR(has_tokenizer());
  DSPARK_TRY(const std::string text,
             render(Json{{"messages", messages}, {"add_generation_prompt", true}}));
  return encode_rendered(text);
}

Result<std::vector<int32_t>> PromptEncoder::encode_rendered(std::string_view text) const {
  DSPARK_RETURN_IF_ERROR(has_tokenizer());
  return with_bos(tokenizer_->encode(text, Tokenizer::Specials::kParse));
}

Result<std::vector<int32_t>> PromptEncoder::encode_raw(std::string_view text) const {
  DSPARK_RETURN_IF_ERROR(has_tokenizer());
  return with_bos(tokenizer_->encode(text, Tokenizer::Specials::kAsText));
}

std::vector<int32_t> PromptEncoder::with_bos(std::vector<int32_t> ids) const {
  const auto bos = tokenizer_->bos_id();
  if (tokenizer_->add_bos() && bos && (ids.empty() || ids.front() != *bos))
    ids.insert(ids.begin(), *bos);
  return ids;
}

Status PromptEncoder::has_tokenizer() const {
  if (tokenizer_->vocab_size() > 0) return {};
  return fail(
      "{}: the model has no tokenizer; a prompt file may give token ids: "
      "{{\"id\": ..., \"ids\": [...]}}",
      name_);
}

}  // namespace dspark::tokenizer

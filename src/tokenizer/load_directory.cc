// A tokenizer from a Hugging Face directory: tokenizer.json, and the files beside it that name
// special tokens, stops and the chat template.
#include "tokenizer/bpe_impl.h"
#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

using formats::JsonConfig;
using nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kMaxTokenizerBytes = size_t{64} << 20;
constexpr size_t kMaxTemplateBytes = size_t{4} << 20;

// The id of "bos_token": "text" or {"content": "text"}; found_id where the key names none.
int32_t named_token(const json& config, const char* key, const Vocabulary& vocabulary,
                    int32_t found_id) {
  auto token = config.find(key);
  if (token == config.end()) return found_id;
  if (token->is_object() && token->contains("content")) token = token->find("content");
  return token->is_string() ? vocabulary.find(token->get_ref<const std::string&>()) : found_id;
}

// "chat_template": text, or a list of named ones, of which "default" counts.
std::string template_text(const json& config) {
  const auto chat = config.find("chat_template");
  if (chat == config.end()) return {};
  if (chat->is_string()) return chat->get<std::string>();
  if (!chat->is_array()) return {};
  for (const json& item : *chat)
    if (item.is_object() && item.value("name", json()) == "default" &&
        item.value("template", json()).is_string())
      return item["template"].get<std::string>();
  return {};
}

Status read_tokenizer_config(const fs::path& path, Tokenizer::Impl& impl) {
  DSPARK_TRY(const JsonConfig config, JsonConfig::open(path));
  const json& root = config.json();
  if (!root.is_object()) return fail("{}: expected an object", path.string());
  impl.bos_id = named_token(root, "bos_token", impl.vocabulary, impl.bos_id);
  impl.eos_id = named_token(root, "eos_token", impl.vocabulary, impl.eos_id);
  DSPARK_TRY(const bool add_bos, config.boolean("add_bos_token", impl.add_bos));
  impl.add_bos = add_bos && impl.bos_id >= 0;
  impl.chat_template = template_text(root);
  return {};
}

// "eos_token_id": one id or several, of which the first is the most usual.
Status read_generation_config(const fs::path& path, Tokenizer::Impl& impl) {
  DSPARK_TRY(const JsonConfig config, JsonConfig::open(path));
  if (!config.has("eos_token_id")) return {};
  std::vector<int64_t> stops;
  if (config.json()["eos_token_id"].is_array()) {
    DSPARK_TRY(stops, config.integers("eos_token_id"));
  } else {
    DSPARK_TRY(const int64_t eos, config.integer("eos_token_id"));
    stops.push_back(eos);
  }
  // Without a vocabulary (below) any id may be right.
  const int64_t end = impl.vocabulary.size() > 0 ? impl.vocabulary.size() : kMaxVocab;
  for (int64_t id : stops) {
    if (id < 0 || id >= end)
      return fail("{}: key eos_token_id: {} is not in 0 to {}", path.string(), id, end - 1);
    impl.stop_ids.push_back(static_cast<int32_t>(id));
  }
  if (impl.eos_id < 0 && !stops.empty()) impl.eos_id = static_cast<int32_t>(stops.front());
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_directory(const fs::path& directory) {
  const fs::path path = directory / "tokenizer.json";
  auto tokenizer = Tokenizer(std::make_unique<Impl>());
  tokenizer.impl_->pre_tokenizer_name = "none";
  if (fs::exists(path)) {
    DSPARK_TRY(const std::string text, read_file(path, kMaxTokenizerBytes));
    DSPARK_TRY(tokenizer, from_json(text, path.string()));
  }
  Impl& impl = *tokenizer.impl_;
  if (const auto file = directory / "tokenizer_config.json"; fs::exists(file))
    DSPARK_RETURN_IF_ERROR(read_tokenizer_config(file, impl));
  if (const auto file = directory / "chat_template.jinja"; fs::exists(file)) {
    DSPARK_TRY(impl.chat_template, read_file(file, kMaxTemplateBytes));
  }
  if (const auto file = directory / "generation_config.json"; fs::exists(file))
    DSPARK_RETURN_IF_ERROR(read_generation_config(file, impl));
  impl.finish();
  return tokenizer;
}

}  // namespace dspark::tokenizer

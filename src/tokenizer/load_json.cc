// A tokenizer from a Hugging Face directory: tokenizer.json, and the files beside it that name special tokens.
#include <map>
#include <nlohmann/json.hpp>

#include "tokenizer/bpe_impl.h"
#include "tokenizer/json_pipeline.h"

namespace dspark::tokenizer {
namespace {

using nlohmann::json;

constexpr size_t kMaxJsonBytes = size_t{256} << 20;
constexpr size_t kMaxTemplateBytes = size_t{4} << 20;

struct Tokens {
  std::vector<std::string> texts;
  std::vector<TokenKind> kinds;
};

Status place(const std::string& name, Tokens& tokens, const std::string& text, int64_t id, TokenKind kind) {
  if (id < 0 || id >= kMaxVocab) return fail("{}: token \"{}\": id {} is not in 0 to {}", name, text, id, kMaxVocab - 1);
  const auto at = static_cast<size_t>(id);
  if (at >= tokens.texts.size()) {
    tokens.texts.resize(at + 1);
    tokens.kinds.resize(at + 1, TokenKind::kUnused);
  }
  const bool taken = tokens.kinds[at] != TokenKind::kUnused;
  if (taken && tokens.texts[at] != text)
    return fail("{}: tokens \"{}\" and \"{}\" both have id {}", name, tokens.texts[at], text, id);
  tokens.texts[at] = text;
  tokens.kinds[at] = kind;
  return {};
}

bool is_byte_token(const std::string& text) { return text.size() == 6 && text.starts_with("<0x") && text[5] == '>'; }

// Vocabulary, then the added tokens, which may repeat entries of it.
Result<Tokens> read_tokens(const std::string& name, const json& model, const json& added, bool byte_fallback) {
  Tokens tokens;
  const auto vocab = model.find("vocab");
  if (vocab == model.end() || !vocab->is_object()) return fail("{}: key model.vocab: expected an object", name);
  for (const auto& [text, id] : vocab->items()) {
    if (!id.is_number_integer()) return fail("{}: key model.vocab: \"{}\": expected an integer", name, text);
    const TokenKind kind = byte_fallback && is_byte_token(text) ? TokenKind::kByte : TokenKind::kNormal;
    DSPARK_RETURN_IF_ERROR(place(name, tokens, text, id.get<int64_t>(), kind));
  }
  for (size_t i = 0; i < added.size(); ++i) {
    const json& token = added[i];
    if (!token.is_object() || !token.contains("id") || !token["id"].is_number_integer() || !token.contains("content") ||
        !token["content"].is_string())
      return fail("{}: key added_tokens: item {}: expected an object with id and content", name, i);
    const bool special = token.contains("special") && token["special"] == true;
    DSPARK_RETURN_IF_ERROR(place(name, tokens, token["content"].get<std::string>(), token["id"].get<int64_t>(),
                                 special ? TokenKind::kControl : TokenKind::kUserDefined));
  }
  return tokens;
}

Result<std::vector<std::pair<std::string, std::string>>> read_merges(const std::string& name, const json& model) {
  std::vector<std::pair<std::string, std::string>> merges;
  const auto list = model.find("merges");
  if (list == model.end() || !list->is_array()) return fail("{}: key model.merges: expected an array", name);
  merges.reserve(list->size());
  for (size_t i = 0; i < list->size(); ++i) {
    const json& item = (*list)[i];
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      merges.emplace_back(item[0].get<std::string>(), item[1].get<std::string>());
      continue;
    }
    const std::string line = item.is_string() ? item.get<std::string>() : "";
    const size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size())
      return fail("{}: key model.merges: item {}: expected two parts", name, i);
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

Result<json> parse(std::string_view text, const std::string& name) {
  // Depth is bounded while parsing: the library recurses when it destroys a value.
  const auto bounded = [](int depth, json::parse_event_t, json&) {
    if (depth > 64) throw std::runtime_error("nested more than 64 deep");
    return true;
  };
  try {
    return json::parse(text, bounded);
  } catch (const std::exception& e) {
    return fail("{}: not valid JSON: {}", name, e.what());
  }
}

// "bos_token": "text" or {"content": "text"}.
std::string named_token(const json& config, const char* key) {
  const auto token = config.find(key);
  if (token == config.end()) return {};
  if (token->is_string()) return token->get<std::string>();
  if (token->is_object() && token->contains("content") && (*token)["content"].is_string())
    return (*token)["content"].get<std::string>();
  return {};
}

std::string template_text(const json& config) {
  const auto chat = config.find("chat_template");
  if (chat == config.end()) return {};
  if (chat->is_string()) return chat->get<std::string>();
  if (!chat->is_array()) return {};
  for (const json& item : *chat)
    if (item.is_object() && item.contains("name") && item["name"] == "default" && item.contains("template") &&
        item["template"].is_string())
      return item["template"].get<std::string>();
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view text, const std::string& name) {
  auto impl = std::make_unique<Impl>();
  DSPARK_TRY(const json root, parse(text, name));
  if (!root.is_object() || !root.contains("model") || !root["model"].is_object())
    return fail("{}: key model: expected an object", name);
  const json& model = root["model"];
  if (model.contains("type") && model["type"] != "BPE")
    return fail("{}: key model.type: {} is not supported, expected BPE", name, model["type"].dump());
  const auto flag = [&](const char* key) { return model.contains(key) && model[key] == true; };
  impl->byte_fallback = flag("byte_fallback");
  impl->ignore_merges = flag("ignore_merges");
  impl->fuse_unknown = flag("fuse_unk");
  DSPARK_RETURN_IF_ERROR(read_pipeline(name, root, *impl));

  static const json kNone = json::array();
  const json& added = root.contains("added_tokens") && root["added_tokens"].is_array() ? root["added_tokens"] : kNone;
  DSPARK_TRY(Tokens tokens, read_tokens(name, model, added, impl->byte_fallback));
  const Spelling spelling = impl->pre_tokenizer_name.find("byte-level") != std::string::npos ? Spelling::kByteLevel : Spelling::kPlain;
  DSPARK_TRY(impl->vocabulary, Vocabulary::create(name, std::move(tokens.texts), std::move(tokens.kinds), spelling));
  DSPARK_TRY(const auto merges, read_merges(name, model));
  DSPARK_RETURN_IF_ERROR(impl->vocabulary.add_merges(name, merges));
  for (const json& token : added) {
    const auto on = [&](const char* key) { return token.contains(key) && token[key] == true; };
    if (on("single_word")) return fail("{}: added token {}: single_word is not supported", name, token["content"].dump());
    impl->added.push_back({token["id"].get<int32_t>(), on("special"), on("lstrip"), on("rstrip")});
  }
  if (model.contains("unk_token") && model["unk_token"].is_string())
    impl->unknown_id = impl->vocabulary.find(model["unk_token"].get<std::string>());
  if (const std::string bos = leading_special_token(root); !bos.empty()) {
    impl->bos_id = impl->vocabulary.find(bos);
    impl->add_bos = impl->bos_id >= 0;
  }
  impl->finish();
  return Tokenizer(std::move(impl));
}

Result<Tokenizer> Tokenizer::from_directory(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer.json";
  // A bare checkpoint has none: prompts are then given as ids.
  if (!std::filesystem::exists(path)) {
    auto empty = std::make_unique<Impl>();
    DSPARK_TRY(empty->vocabulary, Vocabulary::create(path.string(), {}, {}, Spelling::kByteLevel));
    empty->pre_tokenizer_name = "none";
    return Tokenizer(std::move(empty));
  }
  DSPARK_TRY(const std::string text, read_file(path, kMaxJsonBytes));
  DSPARK_TRY(Tokenizer tokenizer, from_json(text, path.string()));
  Impl& impl = *tokenizer.impl_;
  if (const auto config_path = directory / "tokenizer_config.json"; std::filesystem::exists(config_path)) {
    DSPARK_TRY(const std::string config_text, read_file(config_path, kMaxJsonBytes));
    DSPARK_TRY(const json config, parse(config_text, config_path.string()));
    if (!config.is_object()) return fail("{}: expected an object", config_path.string());
    if (const std::string bos = named_token(config, "bos_token"); !bos.empty()) impl.bos_id = impl.vocabulary.find(bos);
    if (const std::string eos = named_token(config, "eos_token"); !eos.empty()) impl.eos_id = impl.vocabulary.find(eos);
    if (config.contains("add_bos_token") && config["add_bos_token"].is_boolean())
      impl.add_bos = config["add_bos_token"].get<bool>() && impl.bos_id >= 0;
    impl.chat_template = template_text(config);
  }
  if (const auto file = directory / "chat_template.jinja"; std::filesystem::exists(file)) {
    DSPARK_TRY(impl.chat_template, read_file(file, kMaxTemplateBytes));
  }
  if (const auto file = directory / "generation_config.json"; std::filesystem::exists(file)) {
    DSPARK_TRY(const formats::JsonConfig config, formats::JsonConfig::open(file));
    std::vector<int64_t> stops;
    if (config.json().is_object() && config.json().contains("eos_token_id") && config.json()["eos_token_id"].is_array()) {
      DSPARK_TRY(stops, config.integers("eos_token_id"));
    } else {
      DSPARK_TRY(const int64_t eos, config.integer("eos_token_id", -1));
      if (eos != -1) stops.push_back(eos);
    }
    for (int64_t id : stops) {
      if (id < 0 || id >= kMaxVocab) return fail("{}: key eos_token_id: {} is no token id", file.string(), id);
      impl.stop_ids.push_back(static_cast<int32_t>(id));
    }
  }
  impl.finish();
  return tokenizer;
}

}  // namespace dspark::tokenizer

// A tokenizer from tokenizer.json's text.
#include <simdjson.h>

#include "tokenizer/bpe_impl.h"
#include "tokenizer/json_pipeline.h"
#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;

constexpr size_t kMaxDepth = 64;

struct Tokens {
  std::vector<std::string_view> texts;
  std::vector<TokenKind> kinds;  // kUnused: nothing there yet
};

Status place(const std::string& where, std::string_view text, int64_t id, TokenKind kind,
             Tokens& tokens) {
  const auto at = static_cast<size_t>(id);
  if (id < 0 || at >= tokens.texts.size())
    return fail("{}: token {}: id {} is not in 0 to {} (for a vocabulary of this size)", where,
                in_quotes(text), id, tokens.texts.size() - 1);
  if (tokens.kinds[at] != TokenKind::kUnused && tokens.texts[at] != text)
    return fail("{}: tokens {} and {} both have id {}", where, in_quotes(tokens.texts[at]),
                in_quotes(text), id);
  tokens.texts[at] = text;
  tokens.kinds[at] = kind;
  return {};
}

struct Added {
  std::string_view text;
  AddedToken token;
  bool normalised;
};

Result<std::vector<Added>> read_added(const std::string& file, dom::object root) {
  std::vector<Added> added;
  dom::array list;
  if (root["added_tokens"].get_array().get(list) != SUCCESS) return added;
  for (dom::element element : list) {
    const std::string where = fmt::format("{}: key added_tokens: item {}", file, added.size());
    dom::object item;
    int64_t id = 0;
    if (element.get_object().get(item) != SUCCESS || item["id"].get_int64().get(id) != SUCCESS ||
        id < 0 || id >= kMaxVocab)
      return fail("{}: expected an object with an id of 0 to {}", where, kMaxVocab - 1);
    const std::string_view text = text_at(item, "content");
    if (text.empty() || text.size() > kMaxAddedBytes)
      return fail("{}: content: expected a text of 1 to {} bytes", where, kMaxAddedBytes);
    added.push_back({text,
                     {.id = static_cast<int32_t>(id),
                      .control = bool_at(item, "special", false),
                      .strip_left = bool_at(item, "lstrip", false),
                      .strip_right = bool_at(item, "rstrip", false),
                      .single_word = bool_at(item, "single_word", false)},
                     bool_at(item, "normalized", false)});
  }
  return added;
}

// Vocabulary, then the added tokens, which may repeat entries of it.
Result<Tokens> read_tokens(const std::string& file, dom::object model, bool byte_fallback,
                           const std::vector<Added>& added) {
  const std::string where = file + ": key model.vocab";
  dom::object vocab;
  if (model["vocab"].get_object().get(vocab) != SUCCESS)
    return fail("{}: expected an object", where);
  size_t count = added.size();
  for ([[maybe_unused]] dom::key_value_pair pair : vocab) ++count;
  Tokens tokens;
  // Ids may have holes, but a small file does not get a large table.
  const size_t room = std::min<size_t>(2 * count + 1024, kMaxVocab);
  tokens.texts.resize(room);
  tokens.kinds.resize(room, TokenKind::kUnused);
  size_t used = 0;
  for (dom::key_value_pair pair : vocab) {
    int64_t id = 0;
    if (pair.value.get_int64().get(id) != SUCCESS)
      return fail("{}: token {}: expected an integer", where, in_quotes(pair.key));
    const bool byte = byte_fallback && fallback_byte(pair.key) >= 0;
    DSPARK_RETURN_IF_ERROR(
        place(where, pair.key, id, byte ? TokenKind::kByte : TokenKind::kNormal, tokens));
    used = std::max(used, static_cast<size_t>(id) + 1);
  }
  for (const Added& item : added) {
    DSPARK_RETURN_IF_ERROR(place(file + ": key added_tokens", item.text, item.token.id,
                                 item.token.control ? TokenKind::kControl : TokenKind::kUserDefined,
                                 tokens));
    used = std::max(used, static_cast<size_t>(item.token.id) + 1);
  }
  tokens.texts.resize(used);
  tokens.kinds.resize(used);
  return tokens;
}

Status read_merges(const std::string& file, dom::object model, Vocabulary& vocabulary) {
  const std::string where = file + ": key model.merges";
  dom::array list;
  if (model["merges"].get_array().get(list) != SUCCESS) return fail("{}: expected an array", where);
  std::vector<std::pair<std::string_view, std::string_view>> merges;
  size_t i = 0;
  for (dom::element item : list) {
    std::string_view left, right;
    dom::array pair;
    if (item.get_array().get(pair) == SUCCESS) {
      if (pair.size() != 2 || pair.at(0).get_string().get(left) != SUCCESS ||
          pair.at(1).get_string().get(right) != SUCCESS)
        return fail("{}: item {}: expected two texts", where, i);
    } else {
      std::string_view line;
      if (item.get_string().get(line) != SUCCESS)
        return fail("{}: item {}: expected a text or a pair", where, i);
      const size_t space = line.find(' ');
      if (i == 0 && line.starts_with("#version")) {
        ++i;
        continue;
      }
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
        return fail("{}: item {}: {} is not two parts", where, i, in_quotes(line));
      left = line.substr(0, space);
      right = line.substr(space + 1);
    }
    if (left.empty() || right.empty()) return fail("{}: item {}: an empty part", where, i);
    merges.emplace_back(left, right);
    ++i;
  }
  return vocabulary.add_merges(where, merges);
}

Status read_model_options(const std::string& file, dom::object model, Tokenizer::Impl& impl) {
  if (const std::string_view type = text_at(model, "type"); !type.empty() && type != "BPE")
    return fail("{}: key model.type: {} is not supported, expected BPE", file, in_quotes(type));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!text_at(model, key).empty())
      return fail("{}: key model.{}: {} is not supported, expected none", file, key,
                  in_quotes(text_at(model, key)));
  impl.byte_fallback = bool_at(model, "byte_fallback", false);
  impl.ignore_merges = bool_at(model, "ignore_merges", false);
  impl.fuse_unknown = bool_at(model, "fuse_unk", false);
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view text, const std::string& name) {
  dom::parser parser;
  dom::object root, model;
  if (parser.allocate(text.size() + 1, kMaxDepth) != SUCCESS)
    return fail("{}: no memory for {} bytes of JSON", name, text.size());
  dom::element document;
  if (const auto error = parser.parse(text.data(), text.size()).get(document); error != SUCCESS) {
    // The slower parser says where.
    const auto located = formats::JsonConfig::parse(text, name);
    if (!located.ok()) return located.error();
    return fail("{}: not valid JSON: {}", name, simdjson::error_message(error));
  }
  if (document.get_object().get(root) != SUCCESS ||
      root["model"].get_object().get(model) != SUCCESS)
    return fail("{}: key model: expected an object", name);
  auto impl = std::make_unique<Impl>();
  bool byte_level = false;
  DSPARK_RETURN_IF_ERROR(read_model_options(name, model, *impl));
  DSPARK_RETURN_IF_ERROR(read_pipeline(name, root, *impl, &byte_level));
  DSPARK_TRY(const std::vector<Added> added, read_added(name, root));
  DSPARK_TRY(Tokens tokens, read_tokens(name, model, impl->byte_fallback, added));
  DSPARK_TRY(impl->vocabulary,
             Vocabulary::create(name + ": key model.vocab", tokens.texts, std::move(tokens.kinds),
                                byte_level ? Spelling::kByteLevel : Spelling::kPlain));
  DSPARK_RETURN_IF_ERROR(read_merges(name, model, impl->vocabulary));
  std::string buffer;
  for (const Added& item : added) {
    if (item.normalised) {
      const std::string_view found = impl->normaliser.apply(item.text, true, buffer);
      if (!found.empty()) impl->added_normalised.add(std::string(found), item.token);
    } else {
      impl->added.add(std::string(item.text), item.token);
    }
  }
  if (const std::string_view unknown = text_at(model, "unk_token"); !unknown.empty())
    impl->unknown_id = impl->vocabulary.find(unknown);
  if (const std::string bos = leading_special_token(root); !bos.empty()) {
    impl->bos_id = impl->vocabulary.find(bos);
    impl->add_bos = impl->bos_id >= 0;
  }
  impl->finish();
  return Tokenizer(std::move(impl));
}

}  // namespace dspark::tokenizer

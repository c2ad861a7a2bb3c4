#include "grammar/support.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "grammar/automaton.h"
#include "grammar/network.h"

namespace dspark::grammar::testing {

const tokenizer::Tokenizer& vocabulary(const std::string& family) {
  static std::map<std::string, tokenizer::Tokenizer> known;
  const auto at = known.find(family);
  if (at != known.end()) return at->second;
  auto opened = tokenizer::Tokenizer::from_directory(std::string(DSPARK_SOURCE_DIR) +
                                                     "/tests/data/tokenizers/" + family);
  CHECK(opened.ok(), "{}", opened.message());
  return known.emplace(family, opened.take()).first->second;
}

Masks masks_of(std::shared_ptr<const Grammar> grammar, const tokenizer::Tokenizer& tokenizer) {
  return Masks(std::move(grammar), make_token_trie(tokenizer, tokenizer.vocab_size() + 5));
}

bool accepts(const Grammar& grammar, std::string_view text) {
  Automaton automaton(grammar.network());
  int32_t state = automaton.start();
  for (const char byte : text) state = automaton.next(state, static_cast<uint8_t>(byte));
  return automaton.may_end(state);
}

std::set<int32_t> allowed_ids(sample::Constraint& constraint) {
  std::set<int32_t> ids;
  const auto words = constraint.allowed();
  if (!words.ok()) return ids;
  for (size_t id = 0; id < words.value().size() * 64; ++id)
    if (words.value()[id / 64] >> (id % 64) & 1) ids.insert(static_cast<int32_t>(id));
  return ids;
}

std::string random_text(const Masks& masks, const tokenizer::Tokenizer& tokenizer,
                        std::mt19937& random, size_t most) {
  const auto constraint = masks.start();
  const auto& stops = tokenizer.stop_ids();
  std::string text;
  for (size_t n = 0; n < most + 400; ++n) {
    const std::set<int32_t> ids = allowed_ids(*constraint);
    if (ids.empty()) return {};
    const bool closing = n >= most || random() % 3 == 0;
    int32_t chosen = *std::next(ids.begin(), static_cast<long>(random() % ids.size()));
    if (closing) {
      for (const int32_t id : ids)
        if (std::binary_search(stops.begin(), stops.end(), id)) return text;
      for (const char* end : {"\"", "}", "]", "0", "e", "l"})
        if (const auto id = tokenizer.find(end); id && ids.contains(*id)) {
          chosen = *id;
          break;
        }
    }
    if (std::binary_search(stops.begin(), stops.end(), chosen)) return text;
    text += tokenizer.token_bytes(chosen);
    constraint->push(chosen);
  }
  return {};
}

namespace {

bool is_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  return type == (value.is_null() ? "null" : value.type_name());
}

size_t characters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

bool object_conforms(const Json& value, const Json& schema, const Json& root) {
  for (const Json& name : schema.value("required", Json::array()))
    if (!value.contains(name.get<std::string>())) return false;
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [name, part] : value.items()) {
    const Json& its = properties.contains(name) ? properties[name]
                                                : schema.value("additionalProperties", Json(true));
    if (!conforms(part, Json(its), root)) return false;
  }
  return true;
}

bool array_conforms(const Json& value, const Json& schema, const Json& root) {
  if (value.size() < schema.value("minItems", size_t{0})) return false;
  if (value.size() > schema.value("maxItems", size_t{1'000'000})) return false;
  const Json prefix = schema.value("prefixItems", Json::array());
  for (size_t i = 0; i < value.size(); ++i) {
    const Json its = i < prefix.size() ? prefix[i] : schema.value("items", Json(true));
    if (!conforms(value[i], its, root)) return false;
  }
  return true;
}

}  // namespace

bool conforms(const Json& value, const Json& schema, const Json& root) {
  if (schema.is_boolean()) return schema.get<bool>();
  if (schema.contains("$ref")) {
    const std::string to = schema["$ref"].get<std::string>().substr(1);
    if (!conforms(value, root.at(Json::json_pointer(to)), root)) return false;
  }
  for (const Json& part : schema.value("allOf", Json::array()))
    if (!conforms(value, part, root)) return false;
  for (const char* any : {"anyOf", "oneOf"})
    if (schema.contains(any) &&
        std::none_of(schema[any].begin(), schema[any].end(),
                     [&](const Json& part) { return conforms(value, part, root); }))
      return false;
  if (schema.contains("const") && value != schema["const"]) return false;
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end())
    return false;
  if (schema.contains("type")) {
    const Json& type = schema["type"];
    const Json types = type.is_array() ? type : Json::array({type});
    if (std::none_of(types.begin(), types.end(),
                     [&](const Json& one) { return is_type(value, one.get<std::string>()); }))
      return false;
  }
  if (value.is_string()) {
    const size_t length = characters(value.get<std::string>());
    if (length < schema.value("minLength", size_t{0})) return false;
    if (length > schema.value("maxLength", size_t{1'000'000})) return false;
  }
  if (value.is_number()) {
    const double x = value.get<double>();
    if (x < schema.value("minimum", -1e300) || x > schema.value("maximum", 1e300)) return false;
    if (x <= schema.value("exclusiveMinimum", -1e300)) return false;
    if (x >= schema.value("exclusiveMaximum", 1e300)) return false;
  }
  if (value.is_object()) return object_conforms(value, schema, root);
  return !value.is_array() || array_conforms(value, schema, root);
}

}  // namespace dspark::grammar::testing

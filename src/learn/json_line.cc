#include "learn/json_line.h"

namespace dspark::learn {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

constexpr size_t kMaxDepth = 64;

Result<std::string> text_at(const object& from, const char* key, const std::string& place) {
  DSPARK_TRY(const element value, member(from, key, "a string", place));
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS)
    return fail("{}: \"{}\": expected a string, found {}", place, key, kind_of(value));
  return std::string(text);
}

Result<std::string> role_of(std::string_view name, const std::string& place) {
  if (name == "system") return std::string("system");
  if (name == "user" || name == "human") return std::string("user");
  for (const char* known : {"assistant", "gpt", "chatgpt", "bing", "bard"})
    if (name == known) return std::string("assistant");
  return fail("{}: \"role\": expected system, user or assistant, found '{:.40}'", place, name);
}

}  // namespace

const char* kind_of(const element& value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "true or false";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

Result<object> JsonLine::object(std::string_view line, const std::string& place) {
  if (const auto error = parser_.allocate(line.size(), kMaxDepth); error != simdjson::SUCCESS)
    return fail("{}: no memory for {} bytes of JSON", place, line.size());
  element root;
  if (const auto error = parser_.parse(line.data(), line.size()).get(root);
      error != simdjson::SUCCESS)
    return fail("{}: not valid JSON: {}", place, simdjson::error_message(error));
  simdjson::dom::object found;
  if (root.get(found) != simdjson::SUCCESS)
    return fail("{}: expected an object, found {}", place, kind_of(root));
  return found;
}

Result<element> member(const object& from, std::string_view key, const char* expected,
                       const std::string& place) {
  element value;
  if (from.at_key(key).get(value) != simdjson::SUCCESS)
    return fail("{}: the key \"{}\" is missing, expected {}", place, key, expected);
  return value;
}

Result<std::string> id_of(const object& from, size_t line, const std::string& place) {
  element value;
  if (from.at_key("id").get(value) != simdjson::SUCCESS) return fmt::format("{}", line);
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return std::string(text);
  if (uint64_t number = 0; value.get(number) == simdjson::SUCCESS) return fmt::format("{}", number);
  if (int64_t number = 0; value.get(number) == simdjson::SUCCESS) return fmt::format("{}", number);
  return fail("{}: \"id\": expected a string or a whole number, found {}", place, kind_of(value));
}

Result<std::vector<Message>> conversation_of(const element& value, const std::string& place) {
  array items;
  if (value.get(items) != simdjson::SUCCESS)
    return fail("{}: \"conversations\": expected an array, found {}", place, kind_of(value));
  std::vector<Message> messages;
  for (const element item : items) {
    const std::string at = fmt::format("{}: \"conversations\"[{}]", place, messages.size());
    object turn;
    if (item.get(turn) != simdjson::SUCCESS)
      return fail("{}: expected an object, found {}", at, kind_of(item));
    const bool named = turn.at_key("role").error() == simdjson::SUCCESS;
    DSPARK_TRY(const std::string name, text_at(turn, named ? "role" : "from", at));
    DSPARK_TRY(std::string role, role_of(name, at));
    DSPARK_TRY(std::string content, text_at(turn, named ? "content" : "value", at));
    messages.push_back({std::move(role), std::move(content)});
  }
  if (messages.empty()) return fail("{}: \"conversations\": expected at least one turn", place);
  return messages;
}

}  // namespace dspark::learn

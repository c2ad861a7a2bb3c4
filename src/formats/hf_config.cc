#include "formats/hf_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "formats/shown.h"

namespace dspark::formats {
namespace {

constexpr size_t kMaxConfigBytes = 64'000'000;
constexpr int kMaxDepth = 64;

// The deepest nesting of arrays and objects, by brackets outside strings. For any text, JSON or
// not.
int nesting_depth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

// A library's message without the "[json.exception...] " before it.
std::string_view without_prefix(std::string_view message) {
  const size_t end = message.find("] ");
  return message.substr(0, 1) == "[" && end != std::string_view::npos ? message.substr(end + 2)
                                                                      : message;
}

// An integer, or a float that is one ("1e6").
std::optional<int64_t> as_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    constexpr double kExact = 9007199254740992.0;  // every integer up to 2^53 is a double
    if (std::fabs(number) <= kExact && number == std::trunc(number))
      return static_cast<int64_t>(number);
  }
  return std::nullopt;
}

Error missing(const std::string& name, std::string_view key) {
  return fail("{}: key {} is missing", name, shown(key));
}

Error wrong(const std::string& name, std::string_view key, std::string_view wanted,
            const nlohmann::json& found) {
  const std::string text = found.is_number() ? fmt::format(" {}", found.dump()) : std::string();
  return fail("{}: key {}: expected {}, found {}{}", name, shown(key), wanted, found.type_name(),
              text);
}

}  // namespace

Result<JsonConfig> JsonConfig::open(const std::filesystem::path& file) {
  DSPARK_TRY(const std::string text, read_file(file, kMaxConfigBytes));
  return parse(text, file.string());
}

Result<JsonConfig> JsonConfig::parse(std::string_view text, const std::string& name) {
  if (nesting_depth(text) > kMaxDepth)
    return fail("{}: JSON nested deeper than {} levels", name, kMaxDepth);
  JsonConfig config;
  config.name_ = name;
  try {
    config.json_ = nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception& error) {
    return fail("{}: not valid JSON: {}", name, without_prefix(error.what()));
  }
  if (!config.json_.is_object())
    return fail("{}: expected a JSON object, found {}", name, config.json_.type_name());
  return config;
}

const nlohmann::json* JsonConfig::lookup(std::string_view key) const {
  const nlohmann::json* at = &json_;
  while (true) {
    const size_t dot = key.find('.');
    if (!at->is_object()) return nullptr;
    const auto found = at->find(std::string(key.substr(0, dot)));
    if (found == at->end() || found->is_null()) return nullptr;
    at = &*found;
    if (dot == std::string_view::npos) return at;
    key.remove_prefix(dot + 1);
  }
}

bool JsonConfig::has(std::string_view key) const { return lookup(key) != nullptr; }

Result<int64_t> JsonConfig::integer(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (value == nullptr) return missing(name_, key);
  if (const auto number = as_integer(*value)) return *number;
  return wrong(name_, key, "a 64-bit integer", *value);
}

Result<int64_t> JsonConfig::integer(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : Result<int64_t>(fallback);
}

Result<double> JsonConfig::number(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (value == nullptr) return missing(name_, key);
  if (value->is_number()) return value->get<double>();
  return wrong(name_, key, "a number", *value);
}

Result<double> JsonConfig::number(std::string_view key, double fallback) const {
  return has(key) ? number(key) : Result<double>(fallback);
}

Result<bool> JsonConfig::boolean(std::string_view key, bool fallback) const {
  const nlohmann::json* value = lookup(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  return wrong(name_, key, "true or false", *value);
}

Result<std::string> JsonConfig::string(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (value == nullptr) return missing(name_, key);
  if (value->is_string()) return value->get<std::string>();
  return wrong(name_, key, "a string", *value);
}

Result<std::string> JsonConfig::string(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : Result<std::string>(std::move(fallback));
}

Result<std::vector<int64_t>> JsonConfig::integers(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (value == nullptr) return missing(name_, key);
  if (!value->is_array()) return wrong(name_, key, "an array of integers", *value);
  std::vector<int64_t> out;
  out.reserve(value->size());
  for (const nlohmann::json& item : *value) {
    const auto number = as_integer(item);
    if (!number.has_value())
      return wrong(name_, fmt::format("{}[{}]", key, out.size()), "a 64-bit integer", item);
    out.push_back(*number);
  }
  return out;
}

Result<std::vector<double>> JsonConfig::numbers(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (value == nullptr) return missing(name_, key);
  if (!value->is_array()) return wrong(name_, key, "an array of numbers", *value);
  std::vector<double> out;
  out.reserve(value->size());
  for (const nlohmann::json& item : *value) {
    if (!item.is_number())
      return wrong(name_, fmt::format("{}[{}]", key, out.size()), "a number", item);
    out.push_back(item.get<double>());
  }
  return out;
}

}  // namespace dspark::formats

#include "serve/fields.h"

#include <cmath>

namespace dspark::serve {

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ApiError::json() const {
  return {{"type", "error"},  // Anthropic's API has it so; OpenAI's clients look at "error" alone
          {"error",
           {{"message", message},
            {"type", type},
            {"param", param.empty() ? Json() : Json(param)},
            {"code", code.empty() ? Json() : Json(code)}}}};
}

namespace {
bool too_deep(const std::string& text) {
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMostDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}
}  // namespace

std::variant<Json, ApiError> parse_object(const std::string& text, const char* what) {
  if (too_deep(text))
    return ApiError{.message = fmt::format("{} nests more than {} deep", what, kMostDepth)};
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return ApiError{.message = fmt::format("{} is not a JSON object", what)};
  return json;
}

bool Fields::has(const std::string& name) const {
  return object_.contains(name) && !object_[name].is_null();
}

const Json* Fields::take(const std::string& name) {
  taken_.insert(name);
  return has(name) && !fault_ ? &object_[name] : nullptr;
}

void Fields::fault(const std::string& name, const std::string& message) {
  if (!fault_) fault_ = ApiError{.message = fmt::format("{}: {}", name, message), .param = name};
}

double Fields::number(const std::string& name, double low, double high, double fallback) {
  const Json* value = take(name);
  if (value == nullptr) return fallback;
  if (!value->is_number()) return fault(name, "expected a number"), fallback;
  const double x = value->get<double>();
  if (!(x >= low && x <= high))
    return fault(name, fmt::format("{}, expected {} to {}", x, low, high)), fallback;
  return x;
}

int64_t Fields::integer(const std::string& name, int64_t low, int64_t high, int64_t fallback) {
  const Json* value = take(name);
  if (value == nullptr) return fallback;
  // Clients that know no integers send 5.0.
  const bool whole =
      value->is_number_integer() ||
      (value->is_number_float() && std::nearbyint(value->get<double>()) == value->get<double>() &&
       std::fabs(value->get<double>()) < 9e15);
  if (!whole) return fault(name, "expected a whole number"), fallback;
  if (value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{1} << 62)
    return fault(name, fmt::format("expected {} to {}", low, high)), fallback;
  const auto n =
      value->is_number_float() ? static_cast<int64_t>(value->get<double>()) : value->get<int64_t>();
  if (n < low || n > high)
    return fault(name, fmt::format("{}, expected {} to {}", n, low, high)), fallback;
  return n;
}

bool Fields::boolean(const std::string& name, bool fallback) {
  const Json* value = take(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return fault(name, "expected true or false"), fallback;
  return value->get<bool>();
}

std::string Fields::text(const std::string& name, const std::string& fallback) {
  const Json* value = take(name);
  if (value == nullptr) return fallback;
  if (!value->is_string()) return fault(name, "expected a text"), fallback;
  return value->get<std::string>();
}

std::vector<std::string> Fields::unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items())
    if (!taken_.contains(name)) names.push_back(name);
  return names;
}

}  // namespace dspark::serve

// A request's JSON object, field by field: types, ranges, and what nobody asked for.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/base.h"

namespace dspark::serve {

using Json = nlohmann::ordered_json;

// On one line; what is no UTF-8 is replaced.
std::string dump(const Json& json);

// As OpenAI's API words it: {"error": {"message", "type", "param", "code"}}.
struct ApiError {
  int status = 400;
  std::string message;
  std::string param = {};  // the field at fault; empty: none
  std::string type = "invalid_request_error";
  std::string code = {};  // empty: null
  Json json() const;
};

// How deep what clients and models send may nest, before anything walks it recursively.
inline constexpr int kMostDepth = 64;
// The object that the text is; `what` is the text's name in messages.
std::variant<Json, ApiError> parse_object(const std::string& text, const char* what);

// Takes values out of an object. The first fault is kept; what is taken after it is the fallback.
// A field that is null is one that is not there.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) {}

  const Json* take(const std::string& name);  // nullptr: not there
  double number(const std::string& name, double low, double high, double fallback);
  int64_t integer(const std::string& name, int64_t low, int64_t high, int64_t fallback);
  bool boolean(const std::string& name, bool fallback);
  std::string text(const std::string& name, const std::string& fallback);
  bool has(const std::string& name) const;

  void fault(const std::string& name, const std::string& message);
  const std::optional<ApiError>& fault() const { return fault_; }
  // Fields that nobody took.
  std::vector<std::string> unknown() const;

 private:
  const Json& object_;
  std::set<std::string> taken_;
  std::optional<ApiError> fault_;
};

}  // namespace dspark::serve

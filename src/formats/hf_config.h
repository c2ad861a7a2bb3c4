// A Hugging Face model directory's JSON files. config.json stays JSON with checked access: which
// keys matter is each model family's business (src/model).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace dspark::formats {

class JsonConfig {
 public:
  static Result<JsonConfig> open(const std::filesystem::path& file);
  static Result<JsonConfig> parse(std::string_view text, const std::string& name);

  const std::string& name() const { return name_; }
  const nlohmann::json& json() const { return json_; }

  // Keys are dotted paths ("rope_parameters.rope_theta"). Errors name file, key, wanted and found
  // type. A JSON null counts as absent. The forms with a fallback give it when the key is absent.
  bool has(std::string_view key) const;
  Result<int64_t> integer(std::string_view key) const;
  Result<int64_t> integer(std::string_view key, int64_t fallback) const;
  Result<double> number(std::string_view key) const;
  Result<double> number(std::string_view key, double fallback) const;
  Result<bool> boolean(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string(std::string_view key, std::string fallback) const;
  Result<std::vector<int64_t>> integers(std::string_view key) const;
  Result<std::vector<double>> numbers(std::string_view key) const;

 private:
  const nlohmann::json* lookup(std::string_view key) const;
  std::string name_;
  nlohmann::json json_;
};

}  // namespace dspark::formats

// The text that `info` prints: aligned fields, and values of untrusted files made fit for a
// terminal.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "formats/formats.h"

namespace dspark::apps {

// Control characters escaped; with `lines`, line feeds and tabs stay.
std::string printable(std::string_view text, bool lines = false);
// Printable, and cut after about 100 bytes.
std::string shortened(std::string_view text);

std::string metadata_text(const formats::GgufValue& value);  // long arrays shortened
std::string json_text(const nlohmann::json& value);

class InfoText {
 public:
  void heading(std::string_view name) { text_ += fmt::format("\n{}\n", name); }
  template <class Value>
  void field(std::string_view name, const Value& value) {
    text_ += fmt::format("  {:<36} {}\n", name, value);
  }
  void line(std::string_view text) { text_ += fmt::format("  {}\n", text); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// Parameters, bytes, and tensors by type.
void describe_tensor_totals(InfoText& out, const std::vector<TensorView>& tensors);
// One line a tensor.
void describe_tensors(InfoText& out, const std::vector<TensorView>& tensors);

}  // namespace dspark::apps

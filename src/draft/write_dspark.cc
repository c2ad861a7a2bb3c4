// From a config to the keys of our own form: those of DeepSpec's config.json, flattened.
#include "draft/calibration_keys.h"
#include "draft/config_json.h"
#include "draft/dspark_keys.h"

namespace dspark::draft {
namespace {

// Keys of config.json that are of no use here: training's, and what every drafter has alike.
constexpr std::string_view kLeftOut[] = {"architectures",
                                         "attention_dropout",
                                         "draft_num_hidden_layers",
                                         "enable_moe_block",
                                         "hidden_size_per_layer_input",
                                         "layer_types",
                                         "num_anchors",
                                         "num_kv_shared_layers",
                                         "sliding_attention",
                                         "sliding_window",
                                         "step_loss_decay",
                                         "tie_word_embeddings",
                                         "use_double_wide_mlp",
                                         "use_sliding_window"};

bool left_out(std::string_view key) {
  for (const std::string_view name : kLeftOut)
    if (key == name) return true;
  return false;
}

formats::GgufValue value_of(const nlohmann::json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_number_unsigned()) return json.get<uint64_t>();
  if (json.is_number_integer()) {
    const auto number = json.get<int64_t>();
    if (number >= 0) return static_cast<uint64_t>(number);
    return number;
  }
  if (json.is_string()) return json.get<std::string>();
  return formats::GgufArray{json.get<std::vector<int64_t>>()};
}

void set_keys(const nlohmann::json& object, const std::string& prefix,
              formats::GgufWriter& writer) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() || left_out(key)) continue;
    if (value.is_object())
      set_keys(value, prefix + key + ".", writer);
    else
      writer.set(prefix + key, value_of(value));
  }
}

}  // namespace

void set_dspark_keys(const DrafterConfig& config, formats::GgufWriter& writer) {
  const nlohmann::json json = config_to_json(config);
  writer.set("general.architecture", std::string(kDsparkArchitecture));
  writer.set("dspark.version", static_cast<uint64_t>(kDsparkVersion));
  writer.set("dspark.architecture", json["architectures"][0].get<std::string>());
  set_keys(json, "dspark.", writer);
  writer.set("dspark.draft_vocab_size", static_cast<uint64_t>(config.draft_vocab));
  set_calibration_keys(config, writer);
}

}  // namespace dspark::draft

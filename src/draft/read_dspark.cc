// Our own form: the keys become DeepSpec's config.json again, so that there is one reader of what
// they mean.
#include "draft/calibration_keys.h"
#include "draft/config_check.h"
#include "draft/dspark_keys.h"
#include "draft/readers.h"

namespace dspark::draft {
namespace {

constexpr std::string_view kPrefix = "dspark.";
// Keys besides "version" and "architecture". One that is not here is an error: it would change what
// the file means.
constexpr std::string_view kKeys[] = {
    "attention_bias",
    "attention_k_eq_v",
    "block_size",
    "confidence_head_with_markov",
    "draft_vocab_size",
    "enable_confidence_head",
    "final_logit_softcapping",
    "global_head_dim",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "hidden_size",
    "intermediate_size",
    "markov_candidates",
    "markov_head_type",
    "markov_rank",
    "mask_token_id",
    "max_position_embeddings",
    "model_type",
    "num_attention_heads",
    "num_global_key_value_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "num_target_layers",
    "qk_norm",
    "rms_norm_eps",
    "rope_parameters.attention_factor",
    "rope_parameters.beta_fast",
    "rope_parameters.beta_slow",
    "rope_parameters.factor",
    "rope_parameters.full_attention.factor",
    "rope_parameters.full_attention.partial_rotary_factor",
    "rope_parameters.full_attention.rope_theta",
    "rope_parameters.full_attention.rope_type",
    "rope_parameters.high_freq_factor",
    "rope_parameters.low_freq_factor",
    "rope_parameters.original_max_position_embeddings",
    "rope_parameters.rope_theta",
    "rope_parameters.rope_type",
    "sample_from_anchor",
    "target_layer_ids",
    "tokenizer_fingerprint",
    "ttt_length",
    "vocab_size",
};

bool known(std::string_view key) {
  for (const std::string_view name : kKeys)
    if (key == name) return true;
  return false;
}

nlohmann::json json_of(const formats::GgufValue& value) {
  return std::visit(
      [](const auto& v) -> nlohmann::json {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, formats::GgufArray>)
          return std::visit([](const auto& items) { return nlohmann::json(items); }, v.items);
        else
          return v;
      },
      value);
}

Result<nlohmann::json> read_keys(const formats::GgufFile& file) {
  DSPARK_TRY(const int64_t version, file.integer("dspark.version"));
  if (version != kDsparkVersion)
    return fail("{}: key dspark.version: {}, expected {}: this program is too old for the file",
                file.name(), version, kDsparkVersion);
  DSPARK_TRY(const std::string architecture, file.string("dspark.architecture"));
  // What every drafter has alike is not stored, and not left to a family's default.
  nlohmann::json json = {{"architectures", {architecture}}, {"tie_word_embeddings", false}};
  for (const auto& [key, value] : file.metadata()) {
    if (!key.starts_with(kPrefix)) continue;
    const std::string name = key.substr(kPrefix.size());
    if (name == "version" || name == "architecture" || is_calibration_key(name)) continue;
    if (!known(name))
      return fail("{}: key {} is unknown in version {} of the form", file.name(),
                  formats::shown(key), kDsparkVersion);
    nlohmann::json* object = &json;
    size_t begin = 0;
    for (size_t dot; (dot = name.find('.', begin)) != std::string::npos; begin = dot + 1)
      object = &(*object)[name.substr(begin, dot - begin)];
    (*object)[name.substr(begin)] = json_of(value);
  }
  return json;
}

}  // namespace

Result<DrafterConfig> config_from_dspark(const formats::GgufFile& file) {
  DSPARK_TRY(const nlohmann::json json, read_keys(file));
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::json::exception&) {
    return fail("{}: a metadata value under dspark. is not UTF-8", file.name());
  }
  DSPARK_TRY(const auto parsed, formats::JsonConfig::parse(text, file.name()));
  DSPARK_TRY(DrafterConfig config, config_from_json(parsed));
  DSPARK_TRY(const int64_t draft_vocab, parsed.integer("draft_vocab_size"));
  config.draft_vocab = narrowed(draft_vocab);
  DSPARK_RETURN_IF_ERROR(read_rope_freqs(file, config));
  const TensorView* d2t = file.find(kD2tTensor);
  if (d2t == nullptr) return config;
  DSPARK_TRY(config.d2t, read_ids(file, *d2t, DType::kI32));
  return config;
}

}  // namespace dspark::draft

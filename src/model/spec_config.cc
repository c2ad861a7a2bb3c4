// A model's description from a Hugging Face config.json, with both layouts of the RoPE parameters
// (transformers 5: rope_parameters; before: rope_theta and rope_scaling).
#include "model/spec.h"
#include "model/spec_check.h"

namespace dspark::model {
namespace {

Result<Rope> read_rope(const formats::JsonConfig& config, int head_dim, int64_t context) {
  Rope rope;
  const bool modern = config.has("rope_parameters");
  const std::string group = modern ? "rope_parameters." : "rope_scaling.";
  DSPARK_TRY(const double top_theta, config.number("rope_theta", 10000.0));
  DSPARK_TRY(rope.theta,
             config.number(modern ? "rope_parameters.rope_theta" : "rope_theta", top_theta));
  DSPARK_TRY(const double partial, config.number("partial_rotary_factor", 1.0));
  if (partial != 1.0)
    return fail("{}: key partial_rotary_factor: {}, expected 1", config.name(), partial);
  rope.dim = head_dim;
  DSPARK_TRY(const std::string old_type, config.string(group + "type", "default"));
  DSPARK_TRY(const std::string type, config.string(group + "rope_type", old_type));
  if (type == "default") return rope;
  DSPARK_TRY(rope.factor, config.number(group + "factor"));
  DSPARK_TRY(const double limit,
             config.number("max_position_embeddings", static_cast<double>(context)));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
    DSPARK_TRY(rope.low_freq_factor, config.number(group + "low_freq_factor"));
    DSPARK_TRY(rope.high_freq_factor, config.number(group + "high_freq_factor"));
    DSPARK_TRY(rope.original_context, config.number(group + "original_max_position_embeddings"));
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    DSPARK_TRY(rope.original_context,
               config.number(group + "original_max_position_embeddings", limit));
    DSPARK_TRY(rope.attention_factor, config.number(group + "attention_factor", 0.0));
    DSPARK_TRY(rope.beta_fast, config.number(group + "beta_fast", 32.0));
    DSPARK_TRY(rope.beta_slow, config.number(group + "beta_slow", 1.0));
  } else {
    return fail("{}: key {}rope_type: \"{}\", expected default, linear, llama3 or yarn",
                config.name(), group, type);
  }
  return rope;
}

}  // namespace

Status read_sizes(const formats::JsonConfig& config, Spec& spec) {
  const auto size = [&](const char* key) -> Result<int> {
    DSPARK_TRY(const int64_t value, config.integer(key));
    return static_cast<int>(std::clamp<int64_t>(value, -1, int64_t{1} << 30));
  };
  DSPARK_TRY(spec.layers, size("num_hidden_layers"));
  DSPARK_TRY(spec.hidden, size("hidden_size"));
  DSPARK_TRY(spec.ffn, size("intermediate_size"));
  DSPARK_TRY(spec.heads, size("num_attention_heads"));
  DSPARK_TRY(spec.vocab, size("vocab_size"));
  DSPARK_TRY(const int64_t kv_heads, config.integer("num_key_value_heads", spec.heads));
  AttentionKind& attention = spec.kinds[0];
  attention.kv_heads = static_cast<int>(std::clamp<int64_t>(kv_heads, -1, 1 << 20));
  if (spec.heads < 1)
    return fail("{}: key num_attention_heads: {}, expected at least 1", config.name(), spec.heads);
  DSPARK_TRY(const int64_t head_dim, config.integer("head_dim", spec.hidden / spec.heads));
  attention.head_dim = static_cast<int>(std::clamp<int64_t>(head_dim, -1, 1 << 20));
  DSPARK_TRY(spec.context, config.integer("max_position_embeddings"));
  DSPARK_TRY(const double eps, config.number("rms_norm_eps", 1e-6));
  spec.norm_eps = static_cast<float>(eps);
  return {};
}

Result<Spec> spec_from_config(const formats::JsonConfig& config) {
  Spec spec;
  DSPARK_TRY(spec.architecture, config.string("model_type"));
  if (spec.architecture == "gemma4_text" || spec.architecture == "gemma4_unified_text")
    return gemma4_spec(config);
  const auto family = family_from_name(spec.architecture);
  if (!family)
    return fail(
        "{}: key model_type: \"{}\", expected llama, qwen2, qwen3, gemma4_text or "
        "gemma4_unified_text",
        config.name(), spec.architecture);
  spec.family = *family;
  DSPARK_RETURN_IF_ERROR(read_sizes(config, spec));
  DSPARK_TRY(const std::string act, config.string("hidden_act", "silu"));
  if (act != "silu") return fail("{}: key hidden_act: \"{}\", expected silu", config.name(), act);
  // Only layers that slide would make a difference.
  if (config.json().contains("layer_types") && config.json()["layer_types"].is_array())
    for (const auto& type : config.json()["layer_types"])
      if (type != "full_attention")
        return fail("{}: key layer_types: expected full_attention only, found {}", config.name(),
                    type.dump());
  DSPARK_TRY(const bool slides, config.boolean("use_sliding_window", false));
  if (slides)
    return fail("{}: key use_sliding_window: sliding windows are not supported for {}",
                config.name(), spec.architecture);
  DSPARK_TRY(const bool attention_bias, config.boolean("attention_bias", false));
  spec.qkv_bias = attention_bias || spec.family == Family::kQwen2;
  spec.output_bias = attention_bias && spec.family != Family::kQwen2;
  DSPARK_TRY(spec.tied_head, config.boolean("tie_word_embeddings", false));
  spec.qk_norm = spec.family == Family::kQwen3;
  DSPARK_TRY(spec.kinds[0].rope, read_rope(config, spec.kinds[0].head_dim, spec.context));
  DSPARK_RETURN_IF_ERROR(check_spec(spec, config.name()));
  return spec;
}

Result<Spec> draft_spec_from_config(const formats::JsonConfig& config) {
  DSPARK_TRY(Spec spec, spec_from_config(config));
  for (const AttentionKind& kind : spec.kinds)
    if (kind.window != 0)
      return fail("{}: key layer_types: draft layers are full_attention, found sliding_attention",
                  config.name());
  return spec;
}

}  // namespace dspark::model

// The description of dense Gemma 4 text models: layers of two kinds, with sliding windows or
// without.
#include "model/spec.h"
#include "model/spec_check.h"

namespace dspark::model {
namespace {

// What the family's larger forms have and this build lacks, each by its key.
Status refuse_extras(const formats::JsonConfig& config, bool unified) {
  const auto refuse = [&](const char* key, const std::string& value, const char* what) {
    return fail("{}: key {}: {}: {} are not supported", config.name(), key, value, what);
  };
  DSPARK_TRY(const bool experts, config.boolean("enable_moe_block", false));
  if (experts) return refuse("enable_moe_block", "true", "mixture-of-experts layers");
  // The library's own default is 256 where the family has the key at all.
  DSPARK_TRY(const int64_t inputs,
             config.integer("hidden_size_per_layer_input", unified ? 0 : 256));
  if (inputs != 0)
    return refuse("hidden_size_per_layer_input", std::to_string(inputs), "per-layer inputs");
  DSPARK_TRY(const int64_t shared, config.integer("num_kv_shared_layers", 0));
  if (shared != 0)
    return refuse("num_kv_shared_layers", std::to_string(shared),
                  "layers that share keys and values");
  DSPARK_TRY(const bool wide, config.boolean("use_double_wide_mlp", false));
  if (wide) return refuse("use_double_wide_mlp", "true", "feed-forward layers of double width");
  DSPARK_TRY(const std::string bidirectional, config.string("use_bidirectional_attention", ""));
  if (bidirectional == "all")
    return refuse("use_bidirectional_attention", "\"all\"", "text rows that see later ones");
  return {};
}

Result<Rope> read_rope(const formats::JsonConfig& config, const std::string& kind, int head_dim) {
  const std::string group = "rope_parameters." + kind + ".";
  Rope rope;
  rope.dim = head_dim;
  DSPARK_TRY(rope.theta, config.number(group + "rope_theta"));
  DSPARK_TRY(const std::string type, config.string(group + "rope_type"));
  if (type != "default" && type != "proportional")
    return fail("{}: key {}rope_type: \"{}\", expected default or proportional", config.name(),
                group, type);
  DSPARK_TRY(const double part, config.number(group + "partial_rotary_factor", 1.0));
  if (type == "default") {
    if (part != 1.0)
      return fail("{}: key {}partial_rotary_factor: {}, expected 1 with rope_type default",
                  config.name(), group, part);
    return rope;
  }
  // The first pairs turn, at frequencies of the whole head.
  if (!(part > 0 && part <= 1))
    return fail("{}: key {}partial_rotary_factor: {}, expected above 0 and at most 1",
                config.name(), group, part);
  rope.pairs = static_cast<int>(part * head_dim / 2);
  if (rope.pairs < 1)
    return fail("{}: key {}partial_rotary_factor: {} of a head of {} turns no pair", config.name(),
                group, part, head_dim);
  DSPARK_TRY(rope.factor, config.number(group + "factor", 1.0));
  if (rope.factor != 1) rope.scaling = RopeScaling::kLinear;
  return rope;
}

// spec.kinds[0] holds the sizes of sliding layers, and is replaced by the kinds that there are.
Status read_kinds(const formats::JsonConfig& config, Spec& spec) {
  const auto types = config.json().find("layer_types");
  if (types == config.json().end() || !types->is_array() ||
      types->size() != static_cast<size_t>(spec.layers))
    return fail("{}: key layer_types: expected the types of {} layers", config.name(), spec.layers);
  const AttentionKind sizes = spec.kinds[0];
  spec.kinds.clear();
  int sliding = -1, full = -1;  // places in kinds
  for (const auto& type : *types) {
    const bool slides = type == "sliding_attention";
    if (!slides && type != "full_attention")
      return fail("{}: key layer_types: {}, expected sliding_attention or full_attention",
                  config.name(), type.dump());
    int& place = slides ? sliding : full;
    if (place < 0) {
      place = static_cast<int>(spec.kinds.size());
      spec.kinds.push_back(sizes);
    }
    spec.kind_of_layer.push_back(static_cast<uint8_t>(place));
  }
  if (types->back() != "full_attention")
    return fail("{}: key layer_types: the last layer is {}, expected full_attention", config.name(),
                types->back().dump());
  for (AttentionKind& kind : spec.kinds) kind.scale = 1;
  if (sliding >= 0) {
    AttentionKind& kind = spec.kinds[static_cast<size_t>(sliding)];
    DSPARK_TRY(kind.window, config.integer("sliding_window"));
    if (kind.window < 1)
      return fail("{}: key sliding_window: {}, expected at least 1", config.name(), kind.window);
    DSPARK_TRY(kind.rope, read_rope(config, "sliding_attention", kind.head_dim));
  }
  AttentionKind& kind = spec.kinds[static_cast<size_t>(full)];
  DSPARK_TRY(const int64_t head_dim, config.integer("global_head_dim"));
  kind.head_dim = static_cast<int>(std::clamp<int64_t>(head_dim, -1, 1 << 20));
  DSPARK_TRY(kind.values_are_keys, config.boolean("attention_k_eq_v", false));
  if (kind.values_are_keys) {
    DSPARK_TRY(const int64_t heads, config.integer("num_global_key_value_heads", sizes.kv_heads));
    kind.kv_heads = static_cast<int>(std::clamp<int64_t>(heads, -1, 1 << 20));
  }
  DSPARK_TRY(kind.rope, read_rope(config, "full_attention", kind.head_dim));
  return {};
}

}  // namespace

Result<Spec> gemma4_spec(const formats::JsonConfig& config) {
  Spec spec;
  spec.family = Family::kGemma4;
  DSPARK_TRY(spec.architecture, config.string("model_type"));
  DSPARK_RETURN_IF_ERROR(refuse_extras(config, spec.architecture == "gemma4_unified_text"));
  DSPARK_RETURN_IF_ERROR(read_sizes(config, spec));
  // Before the number of layer types is compared with it.
  if (spec.layers < 1)
    return fail("{}: key num_hidden_layers: {}, expected at least 1", config.name(), spec.layers);
  DSPARK_RETURN_IF_ERROR(read_kinds(config, spec));
  DSPARK_TRY(const std::string act, config.string("hidden_activation"));
  if (act != "gelu_pytorch_tanh")
    return fail("{}: key hidden_activation: \"{}\", expected gelu_pytorch_tanh", config.name(),
                act);
  spec.activation = Activation::kGeluTanh;
  DSPARK_TRY(const bool bias, config.boolean("attention_bias", false));
  spec.qkv_bias = spec.output_bias = bias;
  spec.qk_norm = spec.value_norm = true;
  spec.sandwich_norms = true;
  spec.scaled_embedding = true;
  DSPARK_TRY(const double cap, config.number("final_logit_softcapping", 0.0));
  spec.logit_softcap = static_cast<float>(cap);
  DSPARK_TRY(spec.tied_head, config.boolean("tie_word_embeddings", true));
  DSPARK_RETURN_IF_ERROR(check_spec(spec, config.name()));
  return spec;
}

}  // namespace dspark::model

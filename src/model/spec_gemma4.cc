// The description of dense Gemma 4 text models from config.json: layers of two kinds, with sliding
// windows or without.
#include <algorithm>

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
  std::vector<bool> slides;
  for (const auto& type : *types) {
    slides.push_back(type == "sliding_attention");
    if (!slides.back() && type != "full_attention")
      return fail("{}: key layer_types: {}, expected sliding_attention or full_attention",
                  config.name(), type.dump());
  }
  if (slides.back())
    return fail("{}: key layer_types: the last layer is sliding_attention, expected full_attention",
                config.name());
  AttentionKind sliding = spec.kinds[0], full = spec.kinds[0];
  if (std::find(slides.begin(), slides.end(), true) != slides.end()) {
    DSPARK_TRY(sliding.window, config.integer("sliding_window"));
    if (sliding.window < 1)
      return fail("{}: key sliding_window: {}, expected at least 1", config.name(), sliding.window);
    DSPARK_TRY(sliding.rope, read_rope(config, "sliding_attention", sliding.head_dim));
  }
  DSPARK_TRY(const int64_t head_dim, config.integer("global_head_dim"));
  full.head_dim = static_cast<int>(std::clamp<int64_t>(head_dim, -1, 1 << 20));
  DSPARK_TRY(full.values_are_keys, config.boolean("attention_k_eq_v", false));
  if (full.values_are_keys) {
    DSPARK_TRY(const int64_t heads, config.integer("num_global_key_value_heads", full.kv_heads));
    full.kv_heads = static_cast<int>(std::clamp<int64_t>(heads, -1, 1 << 20));
  }
  DSPARK_TRY(full.rope, read_rope(config, "full_attention", full.head_dim));
  set_kinds(spec, slides, sliding, full);
  return {};
}

}  // namespace

Spec gemma4_parts(std::string architecture) {
  Spec spec;
  spec.family = Family::kGemma4;
  spec.architecture = std::move(architecture);
  spec.activation = Activation::kGeluTanh;
  spec.qk_norm = spec.value_norm = spec.sandwich_norms = spec.scaled_embedding = true;
  return spec;
}

void set_kinds(Spec& spec, const std::vector<bool>& slides, const AttentionKind& sliding,
               const AttentionKind& full) {
  spec.kinds.clear();
  int place[2] = {-1, -1};  // of full, of sliding
  for (const bool slide : slides) {
    int& at = place[slide ? 1 : 0];
    if (at < 0) {
      at = static_cast<int>(spec.kinds.size());
      spec.kinds.push_back(slide ? sliding : full);
      spec.kinds.back().scale = 1;
    }
    spec.kind_of_layer.push_back(static_cast<uint8_t>(at));
  }
}

Result<Spec> gemma4_spec(const formats::JsonConfig& config) {
  DSPARK_TRY(std::string architecture, config.string("model_type"));
  Spec spec = gemma4_parts(std::move(architecture));
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
  DSPARK_TRY(const bool bias, config.boolean("attention_bias", false));
  spec.qkv_bias = spec.output_bias = bias;
  DSPARK_TRY(const double cap, config.number("final_logit_softcapping", 0.0));
  spec.logit_softcap = static_cast<float>(cap);
  DSPARK_TRY(spec.tied_head, config.boolean("tie_word_embeddings", true));
  DSPARK_RETURN_IF_ERROR(check_spec(spec, config.name()));
  return spec;
}

}  // namespace dspark::model

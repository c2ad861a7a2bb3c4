#include "draft/config_json.h"

#include <cmath>
#include <cstdlib>

namespace dspark::draft {
namespace {

// 1e-06f as 1e-06, not as 9.999999974752427e-07.
double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

nlohmann::json rope_json(const model::Rope& rope) {
  nlohmann::json json = {{"rope_type", "default"}, {"rope_theta", rope.theta}};
  if (rope.scaling == model::RopeScaling::kNone) return json;
  json["factor"] = rope.factor;
  if (rope.scaling == model::RopeScaling::kLinear) {
    json["rope_type"] = "linear";
  } else if (rope.scaling == model::RopeScaling::kLlama3) {
    json["rope_type"] = "llama3";
    json["original_max_position_embeddings"] = rope.original_context;
    json["low_freq_factor"] = rope.low_freq_factor;
    json["high_freq_factor"] = rope.high_freq_factor;
  } else {
    json["rope_type"] = "yarn";
    json["original_max_position_embeddings"] = rope.original_context;
    json["beta_fast"] = rope.beta_fast;
    json["beta_slow"] = rope.beta_slow;
    if (rope.attention_factor > 0) json["attention_factor"] = rope.attention_factor;
  }
  return json;
}

// What Qwen3's and Gemma 4's decoders have alike.
void add_decoder(const model::Spec& spec, nlohmann::json& json) {
  json["hidden_size"] = spec.hidden;
  json["intermediate_size"] = spec.ffn;
  json["num_hidden_layers"] = spec.layers;
  json["layer_types"] =
      std::vector<std::string>(static_cast<size_t>(spec.layers), "full_attention");
  json["num_attention_heads"] = spec.heads;
  json["num_key_value_heads"] = spec.kinds[0].kv_heads;
  json["head_dim"] = spec.kinds[0].head_dim;
  json["vocab_size"] = spec.vocab;
  json["max_position_embeddings"] = spec.context;
  json["rms_norm_eps"] = shortest(spec.norm_eps);
  json["attention_bias"] = spec.qkv_bias;
  json["attention_dropout"] = 0.0;
  json["tie_word_embeddings"] = false;
}

void add_qwen3(const model::Spec& spec, nlohmann::json& json) {
  json["model_type"] = "qwen3";
  json["hidden_act"] = "silu";
  if (!spec.qk_norm) json["qk_norm"] = false;
  json["use_sliding_window"] = false;
  json["sliding_window"] = nullptr;
  json["rope_parameters"] = rope_json(spec.kinds[0].rope);
}

// The share of a head's pairs that turn, such that readers find their number again, which is
// floor(share * dim / 2), also where the share is stored in single precision.
double partial_rotary_factor(const model::Rope& rope) {
  const auto falls_short = [&](double share) {
    return static_cast<int>(share * rope.dim / 2) < rope.pairs;
  };
  float share = 2.0f * static_cast<float>(rope.pairs) / static_cast<float>(rope.dim);
  while (falls_short(share) || falls_short(shortest(share))) share = std::nextafter(share, 2.0f);
  return shortest(share);
}

// Of sliding layers' keys none has a meaning here; the class wants their rotary parameters.
void add_gemma4(const model::Spec& spec, nlohmann::json& json) {
  const model::AttentionKind& kind = spec.kinds[0];
  json["model_type"] = "gemma4_text";
  json["hidden_activation"] = "gelu_pytorch_tanh";
  json["global_head_dim"] = kind.head_dim;
  json["num_global_key_value_heads"] = kind.kv_heads;
  json["attention_k_eq_v"] = kind.values_are_keys;
  if (spec.logit_softcap > 0) json["final_logit_softcapping"] = shortest(spec.logit_softcap);
  json["hidden_size_per_layer_input"] = 0;
  json["num_kv_shared_layers"] = 0;
  json["enable_moe_block"] = false;
  json["use_double_wide_mlp"] = false;
  nlohmann::json full = {{"rope_type", "default"}, {"rope_theta", kind.rope.theta}};
  if (kind.rope.pairs > 0) {
    full["rope_type"] = "proportional";
    full["partial_rotary_factor"] = partial_rotary_factor(kind.rope);
    if (kind.rope.factor != 1) full["factor"] = kind.rope.factor;
  }
  json["rope_parameters"] = {
      {"full_attention", full},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
}

void add_block(const DrafterConfig& config, nlohmann::json& json) {
  json["block_size"] = config.block_size;
  json["mask_token_id"] = config.mask_token_id;
  json["num_anchors"] = 512;  // of training; the class wants one
  json["markov_rank"] = config.markov_rank;
  if (config.markov_rank > 0) json["markov_head_type"] = markov_head_name(config.markov_head);
  json["enable_confidence_head"] = config.confidence_head;
  if (config.confidence_head) json["confidence_head_with_markov"] = config.confidence_with_markov;
  if (!config.anchor_predicts) json["sample_from_anchor"] = false;
}

}  // namespace

const char* markov_head_name(MarkovHead head) {
  switch (head) {
    case MarkovHead::kNone:
      return "none";
    case MarkovHead::kVanilla:
      return "vanilla";
    case MarkovHead::kGated:
      return "gated";
    case MarkovHead::kRnn:
      return "rnn";
  }
  return "?";
}

nlohmann::json config_to_json(const DrafterConfig& config) {
  nlohmann::json json = nlohmann::json::object();
  const bool gemma4 = config.decoder.family == model::Family::kGemma4;
  json["architectures"] = {std::string(gemma4 ? "Gemma4" : "Qwen3") +
                           (config.kind == Kind::kBlock ? "DSparkModel" : "Eagle3Model")};
  add_decoder(config.decoder, json);
  (gemma4 ? add_gemma4 : add_qwen3)(config.decoder, json);
  if (config.target_layers > 0) json["num_target_layers"] = config.target_layers;
  json["target_layer_ids"] = config.target_layer_ids;
  if (config.kind == Kind::kBlock) {
    add_block(config, json);
  } else {
    json["ttt_length"] = config.ttt_length;
    json["step_loss_decay"] = 0.8;
    json["draft_num_hidden_layers"] = config.decoder.layers;
  }
  if (!config.tokenizer_fingerprint.empty())
    json["tokenizer_fingerprint"] = config.tokenizer_fingerprint;
  if (config.candidates > 0) json["markov_candidates"] = config.candidates;
  return json;
}

}  // namespace dspark::draft

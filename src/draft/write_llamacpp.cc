#include "draft/write_llamacpp.h"

namespace dspark::draft {
namespace {

using formats::GgufWriter;

void set_rope(const model::Rope& rope, const std::string& prefix, GgufWriter& writer) {
  writer.set(prefix + "rope.freq_base", rope.theta);
  writer.set(prefix + "rope.dimension_count", static_cast<uint64_t>(rope.dim));
  if (rope.scaling == model::RopeScaling::kLinear) {
    writer.set(prefix + "rope.scaling.type", std::string("linear"));
    writer.set(prefix + "rope.scaling.factor", rope.factor);
  } else if (rope.scaling == model::RopeScaling::kYarn) {
    writer.set(prefix + "rope.scaling.type", std::string("yarn"));
    writer.set(prefix + "rope.scaling.factor", rope.factor);
    writer.set(prefix + "rope.scaling.original_context_length",
               static_cast<uint64_t>(rope.original_context));
    writer.set(prefix + "rope.scaling.yarn_beta_fast", rope.beta_fast);
    writer.set(prefix + "rope.scaling.yarn_beta_slow", rope.beta_slow);
    // GGUF's factor multiplies the usual 0.1 ln(factor) + 1.
    if (rope.attention_factor > 0)
      writer.set(prefix + "rope.scaling.attn_factor",
                 rope.factor > 1 ? rope.attention_factor / (0.1 * real_log(rope.factor) + 1)
                                 : rope.attention_factor);
  }
}

void set_decoder(const model::Spec& spec, const std::string& prefix, GgufWriter& writer) {
  const auto count = [&](const char* key, int64_t value) {
    writer.set(prefix + key, static_cast<uint64_t>(value));
  };
  count("block_count", spec.layers);
  count("context_length", spec.context);
  count("embedding_length", spec.hidden);
  count("feed_forward_length", spec.ffn);
  count("attention.head_count", spec.heads);
  count("attention.head_count_kv", spec.kinds[0].kv_heads);
  count("attention.key_length", spec.kinds[0].head_dim);
  count("attention.value_length", spec.kinds[0].head_dim);
  writer.set(prefix + "attention.layer_norm_rms_epsilon", static_cast<double>(spec.norm_eps));
  set_rope(spec.kinds[0].rope, prefix, writer);
}

}  // namespace

Status set_llamacpp_keys(const DrafterConfig& config, const formats::GgufFile& target,
                         GgufWriter& writer) {
  const bool eagle3 = config.kind == Kind::kEagle3;
  const std::string architecture = eagle3 ? "eagle3" : "dflash", prefix = architecture + ".";
  writer.set("general.architecture", architecture);
  writer.set("general.quantization_version", uint64_t{2});
  set_decoder(config.decoder, prefix, writer);
  std::vector<uint64_t> taps;  // it taps what enters a layer, DeepSpec what leaves one
  for (const int tap : config.target_layer_ids) taps.push_back(static_cast<uint64_t>(tap + 1));
  writer.set(prefix + "target_layers", formats::GgufArray{taps});
  DSPARK_TRY(const auto* tokens, target.strings("tokenizer.ggml.tokens"));
  if (tokens->size() != static_cast<size_t>(config.decoder.vocab))
    return fail("{}: key tokenizer.ggml.tokens: {} items, expected the drafter's {}", target.name(),
                tokens->size(), config.decoder.vocab);
  for (const auto& [key, value] : target.metadata())
    if (key.starts_with("tokenizer.")) writer.set(key, value);
  if (eagle3) {
    writer.set(prefix + "target_hidden_size", static_cast<uint64_t>(config.decoder.hidden));
    return {};
  }
  writer.set(prefix + "block_size", static_cast<uint64_t>(config.block_size));
  writer.set(prefix + "sample_from_anchor", config.anchor_predicts);
  writer.set(prefix + "has_confidence_head", config.confidence_head);
  writer.set("tokenizer.ggml.mask_token_id", static_cast<uint64_t>(config.mask_token_id));
  return {};
}

}  // namespace dspark::draft

// A model's description from GGUF metadata.
#include "model/spec.h"
#include "model/spec_check.h"

namespace dspark::model {

const char* family_name(Family family) {
  switch (family) {
    case Family::kLlama:
      return "llama";
    case Family::kQwen2:
      return "qwen2";
    case Family::kQwen3:
      return "qwen3";
    case Family::kGemma4:
      return "gemma4";
  }
  return "?";
}

std::optional<Family> family_from_name(std::string_view name) {
  for (Family family : {Family::kLlama, Family::kQwen2, Family::kQwen3})
    if (name == family_name(family)) return family;
  return std::nullopt;
}

namespace {

Result<Rope> read_rope(const formats::GgufFile& file, const std::string& prefix, int head_dim) {
  Rope rope;
  DSPARK_TRY(const int64_t dim, file.integer(prefix + "rope.dimension_count", head_dim));
  rope.dim = static_cast<int>(std::min<int64_t>(dim, compute::kMaxHeadDim + 2));
  DSPARK_TRY(rope.theta, file.number(prefix + "rope.freq_base", 10000.0));
  DSPARK_TRY(const std::string type, file.string(prefix + "rope.scaling.type", "none"));
  // Old files say only by how much positions shrink.
  DSPARK_TRY(const double linear, file.number(prefix + "rope.scale_linear", 1.0));
  DSPARK_TRY(rope.factor, file.number(prefix + "rope.scaling.factor", linear));
  if (type == "linear" ||
      (type == "none" && linear != 1.0 && !file.has(prefix + "rope.scaling.type")))
    rope.scaling = RopeScaling::kLinear;
  else if (type == "yarn")
    rope.scaling = RopeScaling::kYarn;
  else if (type != "none")
    return fail("{}: key {}rope.scaling.type: \"{}\", expected none, linear or yarn", file.name(),
                prefix, type);
  if (rope.scaling == RopeScaling::kYarn) {
    DSPARK_TRY(rope.original_context,
               file.number(prefix + "rope.scaling.original_context_length", 0.0));
    DSPARK_TRY(rope.attention_factor, file.number(prefix + "rope.scaling.attn_factor", 0.0));
    // GGUF's factor multiplies the usual 0.1 ln(factor) + 1.
    if (rope.attention_factor > 0 && rope.factor > 1)
      rope.attention_factor *= 0.1 * real_log(rope.factor) + 1;
    DSPARK_TRY(rope.beta_fast, file.number(prefix + "rope.scaling.yarn_beta_fast", 32.0));
    DSPARK_TRY(rope.beta_slow, file.number(prefix + "rope.scaling.yarn_beta_slow", 1.0));
  }
  if (const TensorView* divisors = file.find("rope_freqs.weight")) {
    if (divisors->type != DType::kF32 || divisors->values() * 2 != rope.dim)
      return fail("{}: tensor rope_freqs.weight: expected {} float values", file.name(),
                  rope.dim / 2);
    std::vector<float> values(static_cast<size_t>(rope.dim / 2));
    dequantise(DType::kF32, divisors->data, values.data(), values.size());
    for (float v : values)
      if (!(v > 0 && v < 1e9f))
        return fail("{}: tensor rope_freqs.weight: value {} is not positive", file.name(), v);
    rope.frequency_divisors.assign(values.begin(), values.end());
  }
  return rope;
}

}  // namespace

Result<Spec> spec_from_gguf(const formats::GgufFile& file) {
  Spec spec;
  DSPARK_TRY(spec.architecture, file.string("general.architecture"));
  if (spec.architecture == "gemma4") return gemma4_spec(file);
  const auto family = family_from_name(spec.architecture);
  for (const char* drafter : {"dspark", "dflash", "eagle3"})
    if (spec.architecture == drafter)
      return fail("{}: architecture \"{}\" is a drafter, not a model: give it with --drafter, beside "
                  "the model that it was made for",
                  file.name(), drafter);
  if (!family)
    return fail("{}: architecture \"{}\" is not supported: expected llama, qwen2, qwen3 or gemma4",
                file.name(), spec.architecture);
  spec.family = *family;
  const std::string prefix = spec.architecture + ".";
  const auto size = [&](const std::string& key) -> Result<int> {
    DSPARK_TRY(const int64_t value, file.integer(prefix + key));
    return static_cast<int>(std::clamp<int64_t>(value, -1, int64_t{1} << 30));
  };
  DSPARK_TRY(spec.layers, size("block_count"));
  DSPARK_TRY(spec.hidden, size("embedding_length"));
  DSPARK_TRY(spec.ffn, size("feed_forward_length"));
  DSPARK_TRY(spec.heads, size("attention.head_count"));
  DSPARK_TRY(const int64_t kv_heads, file.integer(prefix + "attention.head_count_kv", spec.heads));
  AttentionKind& attention = spec.kinds[0];
  attention.kv_heads = static_cast<int>(std::clamp<int64_t>(kv_heads, -1, 1 << 20));
  if (spec.heads < 1)
    return fail("{}: key {}attention.head_count: {}, expected at least 1", file.name(), prefix,
                spec.heads);
  DSPARK_TRY(const int64_t head_dim,
             file.integer(prefix + "attention.key_length", spec.hidden / spec.heads));
  DSPARK_TRY(const int64_t value_dim, file.integer(prefix + "attention.value_length", head_dim));
  if (value_dim != head_dim)
    return fail("{}: key {}attention.value_length: {} differs from the key length {}", file.name(),
                prefix, value_dim, head_dim);
  attention.head_dim = static_cast<int>(std::clamp<int64_t>(head_dim, -1, 1 << 20));
  DSPARK_TRY(const int64_t experts, file.integer(prefix + "expert_count", 0));
  if (experts > 0)
    return fail("{}: mixture-of-experts models are not supported ({} experts)", file.name(),
                experts);
  DSPARK_TRY(spec.context, file.integer(prefix + "context_length"));
  DSPARK_TRY(const double eps, file.number(prefix + "attention.layer_norm_rms_epsilon"));
  spec.norm_eps = static_cast<float>(eps);
  const TensorView* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2)
    return fail("{}: tensor token_embd.weight is missing or no matrix", file.name());
  spec.vocab = static_cast<int>(std::min<int64_t>(embedding->rows(), 1 << 30));
  spec.tied_head = file.find("output.weight") == nullptr;
  spec.qkv_bias = file.find("blk.0.attn_q.bias") != nullptr;
  spec.output_bias = file.find("blk.0.attn_output.bias") != nullptr;
  spec.qk_norm = spec.family == Family::kQwen3;
  spec.interleaved_rope = spec.family == Family::kLlama;
  DSPARK_TRY(attention.rope, read_rope(file, prefix, attention.head_dim));
  DSPARK_RETURN_IF_ERROR(check_spec(spec, file.name()));
  return spec;
}

}  // namespace dspark::model

#include "model/weights.h"

namespace dspark::model {
namespace {

struct Names {
  Part part;
  bool in_layer;
  const char *gguf, *hf;
  const char* hf_sandwich = nullptr;  // with norms behind attention and feed-forward, where not hf
};
constexpr Names kNames[] = {
    {Part::kEmbedding, false, "token_embd.weight", "embed_tokens.weight"},
    {Part::kHead, false, "output.weight", "lm_head.weight"},
    {Part::kOutputNorm, false, "output_norm.weight", "norm.weight"},
    {Part::kAttentionNorm, true, "attn_norm.weight", "input_layernorm.weight"},
    {Part::kAttentionPostNorm, true, "post_attention_norm.weight",
     "post_attention_layernorm.weight"},
    {Part::kFfnNorm, true, "ffn_norm.weight", "post_attention_layernorm.weight",
     "pre_feedforward_layernorm.weight"},
    {Part::kFfnPostNorm, true, "post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
    {Part::kLayerScale, true, "layer_output_scale.weight", "layer_scalar"},
    {Part::kHiddenNorm, true, "attn_norm_2.weight", "hidden_norm.weight"},
    {Part::kQ, true, "attn_q.weight", "self_attn.q_proj.weight"},
    {Part::kK, true, "attn_k.weight", "self_attn.k_proj.weight"},
    {Part::kV, true, "attn_v.weight", "self_attn.v_proj.weight"},
    {Part::kO, true, "attn_output.weight", "self_attn.o_proj.weight"},
    {Part::kQBias, true, "attn_q.bias", "self_attn.q_proj.bias"},
    {Part::kKBias, true, "attn_k.bias", "self_attn.k_proj.bias"},
    {Part::kVBias, true, "attn_v.bias", "self_attn.v_proj.bias"},
    {Part::kOBias, true, "attn_output.bias", "self_attn.o_proj.bias"},
    {Part::kQNorm, true, "attn_q_norm.weight", "self_attn.q_norm.weight"},
    {Part::kKNorm, true, "attn_k_norm.weight", "self_attn.k_norm.weight"},
    {Part::kGate, true, "ffn_gate.weight", "mlp.gate_proj.weight"},
    {Part::kUp, true, "ffn_up.weight", "mlp.up_proj.weight"},
    {Part::kDown, true, "ffn_down.weight", "mlp.down_proj.weight"},
};

const Names& names_of(Part part) {
  for (const Names& names : kNames)
    if (names.part == part) return names;
  CHECK(false);
}

// Tensors that hold nothing the forward pass lacks.
bool may_be_left_out(const Spec& spec, const std::string& name) {
  return name == "rope_freqs.weight" || name.ends_with("rotary_emb.inv_freq") ||
         (spec.tied_head && name == "lm_head.weight");
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace

std::string hf_tensor_name(const Spec& spec, Part part, int layer) {
  const Names& names = names_of(part);
  if (!names.in_layer) return names.hf;
  const bool other = spec.sandwich_norms && names.hf_sandwich != nullptr;
  return fmt::format("layers.{}.{}", layer, other ? names.hf_sandwich : names.hf);
}

Result<WeightFile> WeightFile::open(const std::filesystem::path& path) {
  WeightFile file;
  file.name_ = path.string();
  if (!std::filesystem::is_directory(path)) {
    DSPARK_TRY(formats::GgufFile gguf, formats::GgufFile::open(path));
    DSPARK_TRY(file.spec_, spec_from_gguf(gguf));
    file.gguf_ = std::move(gguf);
    return file;
  }
  DSPARK_TRY(const formats::JsonConfig config, formats::JsonConfig::open(path / "config.json"));
  DSPARK_TRY(file.spec_, spec_from_config(config));
  DSPARK_TRY(formats::Safetensors tensors, formats::Safetensors::open_directory(path));
  // A config may leave tie_word_embeddings to its family's default: what is stored decides.
  if (!config.has("tie_word_embeddings"))
    file.spec_.tied_head = tensors.find("lm_head.weight") == nullptr;
  file.safetensors_ = std::move(tensors);
  return file;
}

std::string WeightFile::tensor_name(Part part, int layer) const {
  if (!gguf_) return (part == Part::kHead ? "" : "model.") + hf_tensor_name(spec_, part, layer);
  const Names& names = names_of(part);
  return names.in_layer ? fmt::format("blk.{}.{}", layer, names.gguf) : names.gguf;
}

Result<const TensorView*> WeightFile::find(Part part, int layer, std::vector<int64_t> shape) {
  const std::string name = tensor_name(part, layer);
  const TensorView* tensor = gguf_ ? gguf_->find(name) : safetensors_->find(name);
  if (tensor == nullptr) return fail("{}: tensor {} is missing", name_, name);
  if (tensor->shape != shape)
    return fail("{}: tensor {}: shape {}, expected {}", name_, name, shape_text(tensor->shape),
                shape_text(shape));
  if (!dtype_info(tensor->type).is_weight)
    return fail("{}: tensor {}: type {} is no weight type", name_, name,
                dtype_info(tensor->type).name);
  used_.insert(name);
  return tensor;
}

Status WeightFile::check_all_used() const {
  for (const TensorView& tensor : gguf_ ? gguf_->tensors() : safetensors_->tensors())
    if (!used_.contains(tensor.name) && !may_be_left_out(spec_, tensor.name))
      return fail("{}: tensor {} is not part of a {} model", name_, tensor.name,
                  family_name(spec_.family));
  return {};
}

void WeightFile::release(const TensorView& tensor) const {
  if (gguf_)
    gguf_->release(tensor);
  else
    safetensors_->release(tensor);
}

}  // namespace dspark::model

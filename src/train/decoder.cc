#include "train/decoder.h"

#include <torch/torch.h>

namespace dspark::train {
namespace {

torch::Tensor rms_normalise(const torch::Tensor& x, float eps) {
  return x * torch::rsqrt(x.square().mean(-1, true) + eps);
}

}  // namespace

torch::Tensor rotate(const torch::Tensor& x, const Rotation& rotation) {
  const auto halves = x.chunk(2, -1);
  return torch::cat({halves[0] * rotation.cos - halves[1] * rotation.sin,
                     halves[1] * rotation.cos + halves[0] * rotation.sin},
                    -1);
}

Decoder::Decoder(const model::Spec& spec, const Parameters& parameters, Precision precision)
    : spec_(spec), parameters_(parameters), precision_(precision) {
  frequencies_ = torch::tensor(model::rope_frequencies(kind().rope, &amplitude_));
}

std::string Decoder::layer_name(int layer, const char* what) {
  return fmt::format("layers.{}.{}", layer, what);
}

torch::Tensor Decoder::product(const torch::Tensor& x, const torch::Tensor& weight) const {
  if (precision_ == Precision::kFloat32) return torch::linear(x, weight);
  return torch::linear(x.to(torch::kBFloat16), weight.to(torch::kBFloat16)).to(torch::kFloat32);
}

torch::Tensor Decoder::batch_product(const torch::Tensor& a, const torch::Tensor& b) const {
  if (precision_ == Precision::kFloat32) return torch::bmm(a, b);
  return torch::bmm(a.to(torch::kBFloat16), b.to(torch::kBFloat16)).to(torch::kFloat32);
}

torch::Tensor Decoder::linear(const torch::Tensor& x, const std::string& name) const {
  torch::Tensor y = product(x, parameters_[name + ".weight"]);
  if (parameters_.has(name + ".bias")) y = y + parameters_[name + ".bias"];
  return y;
}

torch::Tensor Decoder::norm(const torch::Tensor& x, const std::string& name) const {
  return rms_normalise(x, spec_.norm_eps) * parameters_[name + ".weight"];
}

torch::Tensor Decoder::capped(const torch::Tensor& logits) const {
  const float cap = spec_.logit_softcap;
  return cap > 0 ? torch::tanh(logits / cap) * cap : logits;
}

torch::Tensor Decoder::logits(const torch::Tensor& hidden, const torch::Tensor& head) const {
  return capped(product(hidden, head));
}

torch::Tensor Decoder::target_probabilities(const torch::Tensor& hidden,
                                            const torch::Tensor& log_sum,
                                            const torch::Tensor& head) const {
  const torch::NoGradGuard guard;
  torch::Tensor logits = capped(torch::linear(hidden, head));
  if (!log_sum.defined()) return torch::softmax(logits, -1);
  return logits.sub_(log_sum.unsqueeze(1)).exp_();
}

Rotation Decoder::rotation(const torch::Tensor& positions) const {
  const torch::Tensor angles = positions.to(torch::kFloat32).outer(frequencies_).unsqueeze(1);
  return {angles.cos() * amplitude_, angles.sin() * amplitude_};
}

torch::Tensor Decoder::queries(int layer, const torch::Tensor& x, const Rotation& rotation) const {
  torch::Tensor q =
      linear(x, layer_name(layer, "self_attn.q_proj")).view({-1, spec_.heads, kind().head_dim});
  if (spec_.qk_norm) q = norm(q, layer_name(layer, "self_attn.q_norm"));
  return rotate(q, rotation);
}

KeysValues Decoder::keys_values(int layer, const torch::Tensor& x, const Rotation& rotation) const {
  const std::vector<int64_t> shape = {-1, kind().kv_heads, kind().head_dim};
  const torch::Tensor raw = linear(x, layer_name(layer, "self_attn.k_proj")).view(shape);
  torch::Tensor values =
      kind().values_are_keys ? raw : linear(x, layer_name(layer, "self_attn.v_proj")).view(shape);
  if (spec_.value_norm) values = rms_normalise(values, spec_.norm_eps);
  const torch::Tensor keys = spec_.qk_norm ? norm(raw, layer_name(layer, "self_attn.k_norm")) : raw;
  return {rotate(keys, rotation), values};
}

torch::Tensor Decoder::feed_forward(int layer, const torch::Tensor& x) const {
  const torch::Tensor gate = linear(x, layer_name(layer, "mlp.gate_proj"));
  const torch::Tensor up = linear(x, layer_name(layer, "mlp.up_proj"));
  const torch::Tensor active =
      spec_.activation == model::Activation::kSilu ? torch::silu(gate) : torch::gelu(gate, "tanh");
  return linear(active * up, layer_name(layer, "mlp.down_proj"));
}

torch::Tensor Decoder::finish(int layer, const torch::Tensor& residual,
                              const torch::Tensor& attended) const {
  const auto name = [&](const char* what) { return layer_name(layer, what); };
  torch::Tensor x = linear(attended, name("self_attn.o_proj"));
  if (!spec_.sandwich_norms) {
    x = residual + x;
    return x + feed_forward(layer, norm(x, name("post_attention_layernorm")));
  }
  x = residual + norm(x, name("post_attention_layernorm"));
  const torch::Tensor y = feed_forward(layer, norm(x, name("pre_feedforward_layernorm")));
  return (x + norm(y, name("post_feedforward_layernorm"))) * parameters_[name("layer_scalar")];
}

}  // namespace dspark::train

// Draft layers for training: projections, rotation, what follows attention. How rows see one
// another is the drafter's own (block_net, eagle3_net).
#pragma once

#include <torch/types.h>

#include <limits>
#include <string>

#include "train/parameters.h"

namespace dspark::train {

enum class Precision { kFloat32, kBfloat16 };  // of matrix products; all else is float32

// The score of a row that a query may not see.
inline constexpr float kUnseen = -std::numeric_limits<float>::infinity();

// cos and sin of rows' angles, [rows, 1, head_dim / 2].
struct Rotation {
  torch::Tensor cos, sin;
};

struct KeysValues {
  torch::Tensor keys, values;  // [rows, kv_heads, head_dim]
};

class Decoder {
 public:
  Decoder(const model::Spec& spec, const Parameters& parameters, Precision precision);

  const model::Spec& spec() const { return spec_; }
  const model::AttentionKind& kind() const { return spec_.kinds[0]; }

  torch::Tensor linear(const torch::Tensor& x, const std::string& name) const;  // x W^T (+ bias)
  torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight) const;   // x W^T
  torch::Tensor batch_product(const torch::Tensor& a, const torch::Tensor& b) const;  // [n, ., .]
  torch::Tensor norm(const torch::Tensor& x, const std::string& name) const;

  // Behind the last norm: logits of a head's rows, capped where the family caps them.
  torch::Tensor logits(const torch::Tensor& hidden, const torch::Tensor& head) const;
  // The target's probabilities of a head's rows, from what its head reads and its log-sum of all
  // logits (undefined: the head is the whole one), in float32. No gradients.
  torch::Tensor target_probabilities(const torch::Tensor& hidden, const torch::Tensor& log_sum,
                                     const torch::Tensor& head) const;

  Rotation rotation(const torch::Tensor& positions) const;  // positions: [rows]
  // x: [rows, attention input].
  torch::Tensor queries(int layer, const torch::Tensor& x, const Rotation& rotation) const;
  KeysValues keys_values(int layer, const torch::Tensor& x, const Rotation& rotation) const;
  // The residual behind the layer; attended: [rows, heads * head_dim].
  torch::Tensor finish(int layer, const torch::Tensor& residual,
                       const torch::Tensor& attended) const;
  static std::string layer_name(int layer, const char* what);

 private:
  torch::Tensor feed_forward(int layer, const torch::Tensor& x) const;
  torch::Tensor capped(const torch::Tensor& logits) const;

  model::Spec spec_;
  const Parameters& parameters_;
  Precision precision_;
  torch::Tensor frequencies_;  // [head_dim / 2]
  float amplitude_ = 1;
};

// [rows, heads, d]
torch::Tensor rotate(const torch::Tensor& x, const Rotation& rotation);

}  // namespace dspark::train

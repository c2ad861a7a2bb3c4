#include "draft/design.h"

#include <algorithm>

namespace dspark::draft {

std::vector<int> usual_taps(int target_layers) {
  const bool large = target_layers > 4;
  const int first = large ? 1 : 0,
            last = std::max(large ? target_layers - 3 : target_layers - 2, first);
  std::vector<int> taps;
  for (int i = 0; i < 5; ++i) {
    const int tap = first + (2 * i * (last - first) + 4) / 8;
    if (taps.empty() || tap > taps.back()) taps.push_back(tap);
  }
  return taps;
}

namespace {

// Layers of the target's own kind, all with full attention (spec B.5).
model::Spec gemma4_layers(const model::Spec& target, int layers, int64_t ffn) {
  model::Spec spec = target;
  spec.layers = layers;
  if (ffn > 0) spec.ffn = static_cast<int>(ffn);
  for (const model::AttentionKind& kind : target.kinds)
    if (kind.window == 0) spec.kinds = {kind};
  spec.kind_of_layer.clear();
  spec.tied_head = false;
  return spec;
}

}  // namespace

model::Spec draft_layers(const model::Spec& target, int layers, int64_t ffn) {
  if (target.family == model::Family::kGemma4) return gemma4_layers(target, layers, ffn);
  model::Spec spec;
  spec.family = model::Family::kQwen3;
  spec.layers = layers;
  spec.hidden = target.hidden;
  spec.ffn = ffn > 0 ? static_cast<int>(ffn) : target.ffn;
  spec.heads = target.heads;
  spec.kinds[0].kv_heads = target.kinds[0].kv_heads;
  spec.kinds[0].head_dim = spec.kinds[0].rope.dim = target.kinds[0].head_dim;
  spec.kinds[0].rope.theta = target.kinds[0].rope.theta;
  spec.vocab = target.vocab;
  spec.context = target.context;
  spec.norm_eps = target.norm_eps;
  spec.qk_norm = true;
  return spec;
}

}  // namespace dspark::draft

#include "model/forward_buffers.h"

#include <algorithm>

namespace dspark::model {

using compute::AlignedBuffer;

namespace {

AlignedBuffer floats(int64_t rows, int64_t width) {
  return AlignedBuffer(static_cast<size_t>(rows * width) * sizeof(float));
}

// The largest of a number of the kinds of layers.
template <class Of>
auto most(const Spec& spec, Of of) {
  auto largest = of(spec.kinds[0]);
  for (const AttentionKind& kind : spec.kinds) largest = std::max(largest, of(kind));
  return largest;
}

// Split by blocks pays only while there are few items; then this many partial states are enough.
int64_t most_partials(const Spec& spec, const Limits& limits, int threads) {
  const int64_t segments =
      most(spec, [&](const AttentionKind& kind) { return 4 * threads / kind.kv_heads + 1; });
  const int64_t blocks = (limits.context + compute::kAttentionBlock - 1) / compute::kAttentionBlock;
  return std::min<int64_t>(segments * std::min(kSplitRows, limits.rows) * spec.heads * blocks,
                           1 << 20);
}

int64_t attention_queries(const Spec& spec) {
  return kAttentionRows *
         most(spec, [&](const AttentionKind& kind) { return spec.heads / kind.kv_heads; });
}

}  // namespace

Forward::Buffers::Buffers(const Model& model, const Limits& limits, int thread_count)
    : spec(model.spec),
      head_dim(most(spec, [](const AttentionKind& kind) { return kind.head_dim; })),
      hidden(padded(spec.hidden)),
      q_width(padded(spec.heads * head_dim)),
      kv_width(padded(most(spec, [](const AttentionKind& kind) { return kind.kv_width(); }))),
      ffn(padded(spec.ffn)),
      vocab(padded(model.output_head().rows)),
      x(floats(limits.rows, hidden)),
      product(floats(limits.rows, hidden)),
      q(floats(limits.rows, q_width)),
      k(floats(limits.rows, kv_width)),
      v(floats(limits.rows, kv_width)),
      attended(floats(limits.rows, q_width)),
      gate(floats(limits.rows, ffn)),
      up(floats(limits.rows, ffn)),
      logits(floats(limits.logit_rows, vocab)),
      embedded(floats(spec.pairs_embedding ? limits.rows : 0, hidden)),
      context(floats(model.context_norm.empty() ? 0 : limits.rows, 2 * spec.layers * kv_width)),
      ones(floats(1, head_dim)),
      for_layer(limits.rows, spec.hidden),
      for_down(limits.rows, spec.ffn),
      for_head(limits.logit_rows, spec.hidden),
      for_features(model.features.empty() ? 0 : limits.rows, model.features.columns),
      for_pair(spec.pairs_embedding ? limits.rows : 0, spec.attention_input()),
      max_partials(most_partials(spec, limits, thread_count)),
      partials(static_cast<size_t>(max_partials)),
      partial_values(floats(max_partials, head_dim)) {
  std::fill_n(ones.as<float>(), head_dim, 1.0f);
  for (const AttentionKind& kind : spec.kinds)
    kinds.push_back({floats(limits.rows, kind.rope.dim / 2), floats(limits.rows, kind.rope.dim / 2),
                     compute::Activations(limits.rows, spec.heads * kind.head_dim)});
  const auto queries = static_cast<size_t>(attention_queries(spec));
  threads.resize(static_cast<size_t>(thread_count));
  for (Thread& t : threads) {
    t.normed = floats(1, std::max({hidden, head_dim, padded(spec.attention_input())}));
    t.own = compute::Activations(std::min(limits.rows, kOwnRows), spec.hidden);
    t.narrow = AlignedBuffer(static_cast<size_t>(head_dim) * sizeof(uint16_t));
    t.total.resize(queries);
    t.part.resize(queries);
    t.total_values = floats(static_cast<int64_t>(queries), head_dim);
    t.part_values = floats(static_cast<int64_t>(queries), head_dim);
    for (size_t i = 0; i < queries; ++i) {
      t.total[i].values = t.total_values.as<float>() + static_cast<int64_t>(i) * head_dim;
      t.part[i].values = t.part_values.as<float>() + static_cast<int64_t>(i) * head_dim;
    }
    t.rotated = floats(static_cast<int64_t>(queries), head_dim);
    t.queries.resize(queries);
    t.begins.resize(queries);
    t.ends.resize(queries);
  }
  for (int64_t i = 0; i < max_partials; ++i)
    partials[static_cast<size_t>(i)].values = partial_values.as<float>() + i * head_dim;
}

}  // namespace dspark::model

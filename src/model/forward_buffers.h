// Working memory of a forward pass: made once, never grown.
#pragma once

#include <vector>

#include "compute/compute.h"
#include "model/forward.h"

namespace dspark::model {

inline constexpr int kAttentionRows = 16;   // rows of an attention item
inline constexpr int kMemoryBoundRows = 4;  // up to these, reading weights takes longest
inline constexpr int kEvenRows = 16;        // up to these, a thread's tiles are always the same
inline constexpr int kOwnRows = 6;          // up to these, each thread normalises all for itself
inline constexpr int kSplitBlocks = 4;      // blocks of an item when long contexts are split
inline constexpr int kSplitRows = 16;       // a segment with more rows is never split by blocks

inline int64_t padded(int64_t n) {
  return (n + compute::kTileRows - 1) / compute::kTileRows * compute::kTileRows;
}

struct Forward::Buffers {
  Buffers(const Model& model, const Limits& limits, int threads);

  float* row(compute::AlignedBuffer& buffer, int row, int64_t width) {
    return buffer.as<float>() + row * width;
  }

  const Spec& spec;
  int64_t head_dim, hidden, q_width, kv_width, ffn, vocab;  // largest, padded to whole tiles
  compute::AlignedBuffer x;                                 // [rows, hidden]: the residual stream
  compute::AlignedBuffer product;   // [rows, hidden]: an output on its way to x
  compute::AlignedBuffer q, k, v;   // [rows, q_width], [rows, kv_width]
  compute::AlignedBuffer attended;  // [rows, q_width]
  compute::AlignedBuffer gate, up;  // [rows, ffn]
  compute::AlignedBuffer logits;    // [logit_rows, vocab]
  compute::AlignedBuffer embedded;  // [rows, hidden], where pairs_embedding
  compute::AlignedBuffer context;   // [layers][2][rows, kv_width]: keys and values of context rows
  compute::AlignedBuffer ones;      // [head_dim]: the weight of norms without one
  compute::Activations for_layer, for_down, for_head;
  compute::Activations for_features, for_pair;  // of drafters; for_pair: where pairs_embedding

  struct Kind {                           // of layers
    compute::AlignedBuffer cosine, sine;  // [rows, rope pairs]
    compute::Activations for_output;      // of attention
  };
  std::vector<Kind> kinds;  // [spec.kinds]
  Kind& kind(int layer) { return kinds[static_cast<size_t>(spec.kind_index(layer))]; }

  struct Thread {                                      // scratch of one thread
    compute::AlignedBuffer normed;                     // [attention input or head_dim]
    compute::AlignedBuffer narrow;                     // [head_dim] float16
    compute::Activations own;                          // [kOwnRows, hidden]
    std::vector<compute::AttentionState> total, part;  // [kAttentionRows * group]
    compute::AlignedBuffer total_values, part_values;  // [kAttentionRows * group, head_dim]
    compute::AlignedBuffer rotated;                    // [kAttentionRows * group, head_dim]
    std::vector<const float*> queries;                 // [kAttentionRows * group]
    std::vector<int> begins, ends;                     // [kAttentionRows * group]
  };
  std::vector<Thread> threads;

  // Partial attention of split items: by (row, query head, block).
  int64_t max_partials;
  std::vector<compute::AttentionState> partials;
  compute::AlignedBuffer partial_values;  // [max_partials, head_dim]
};

}  // namespace dspark::model

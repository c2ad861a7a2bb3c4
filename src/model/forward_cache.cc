// New rows' keys and values into the pages of the cache.
#include <algorithm>

#include "model/forward.h"
#include "model/forward_buffers.h"

namespace dspark::model {
namespace {

// One position's key or value into its block: keys lie in groups of 16 positions, by dimension.
template <class Cell>
void store_row(const Cell* row, int64_t head_dim, int64_t within, bool is_key, Cell* block) {
  if (!is_key) {
    std::copy_n(row, head_dim, block + within * head_dim);
    return;
  }
  Cell* out = block + (within / 16) * head_dim * 16 + within % 16;
  for (int64_t d = 0; d < head_dim; ++d) out[d * 16] = row[d];
}

}  // namespace

void Forward::rotate_head(int layer, float* values, const std::vector<float>& norm, int row) {
  Buffers& b = *buffers_;
  Buffers::Kind& kind = b.kind(layer);
  const AttentionKind& attention = spec_.attention(layer);
  const int64_t pairs = attention.rope.dim / 2;
  if (!norm.empty())
    kernels_.rms_norm(values, norm.data(), spec_.norm_eps, attention.head_dim, values);
  kernels_.rotate(values, b.row(kind.cosine, row, pairs), b.row(kind.sine, row, pairs), pairs);
}

// A row's value and key under one key/value head into the cache: the key with its norm and rotary
// embedding, which are done in place; the value with its norm. key, value: [head_dim], perhaps the
// same.
void Forward::store(int thread, int layer_index, const Segment& segment, int row, int kv_head,
                    float* key, const float* value) {
  const int64_t d = spec_.attention(layer_index).head_dim;
  Buffers::Thread& scratch = buffers_->threads[static_cast<size_t>(thread)];
  auto* narrow = scratch.narrow.as<uint16_t>();
  const int64_t position = segment.position + row - segment.first_row;
  const kv::PageId page = segment.sequence->pages()[static_cast<size_t>(position / kv::kPositions)];
  const int64_t within = position % kv::kPositions;
  const int cache_layer = first_layer_ + layer_index;
  const auto put_cells = [&](const float* values, bool is_key, uint8_t* cells) {
    if (pages_.shape().layer(cache_layer).cell_bytes == 4) {
      store_row(values, d, within, is_key, reinterpret_cast<float*>(cells));
    } else {
      kernels_.narrow(values, d, narrow);
      store_row(narrow, d, within, is_key, reinterpret_cast<uint16_t*>(cells));
    }
  };
  if (spec_.value_norm) {
    float* normed = scratch.normed.as<float>();
    kernels_.rms_norm(value, buffers_->ones.as<float>(), spec_.norm_eps, d, normed);
    value = normed;
  }
  put_cells(value, false, pages_.values(page, cache_layer, kv_head));
  rotate_head(layer_index, key, model_.layers[static_cast<size_t>(layer_index)].k_norm, row);
  put_cells(key, true, pages_.keys(page, cache_layer, kv_head));
}

// The same of some rows, and their queries under that head.
void Forward::rotate_and_store(int thread, int layer_index, const Segment& segment, int first_row,
                               int rows, int kv_head) {
  Buffers& b = *buffers_;
  const AttentionKind& kind = spec_.attention(layer_index);
  const int64_t d = kind.head_dim;
  const int group = spec_.heads / kind.kv_heads;
  for (int row = first_row; row < first_row + rows; ++row) {
    for (int i = 0; i < group; ++i)
      rotate_head(layer_index, b.row(b.q, row, b.q_width) + (kv_head * group + i) * d,
                  model_.layers[static_cast<size_t>(layer_index)].q_norm, row);
    float* key = b.row(b.k, row, b.kv_width) + kv_head * d;
    store(thread, layer_index, segment, row, kv_head, key,
          kind.values_are_keys ? key : b.row(b.v, row, b.kv_width) + kv_head * d);
  }
}

// The same for segments with several items a head, before any of them starts.
void Forward::rotate_and_store_long(int thread, int layer) {
  int turn = 0;
  for (const AttentionItem& item : plan(layer).items) {
    if (!item.is_long || !item.leads) continue;
    if (turn++ % pool_.threads() != thread) continue;
    rotate_and_store(thread, layer, segments_[static_cast<size_t>(item.segment)], item.first_row,
                     item.rows, item.kv_head);
  }
}

}  // namespace dspark::model

// New rows' keys and values into the pages of the cache.
#include <algorithm>
#include <numeric>

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

// Keys or values of a layer as a product: a thread makes whole heads of them.
Forward::Product Forward::cached(Product::Cells cells, int layer_index, float* out) {
  const Layer& layer = model_.layers[static_cast<size_t>(layer_index)];
  const bool is_value = cells == Product::kValues;
  const int64_t whole = std::lcm(spec_.attention(layer_index).head_dim, compute::kTileRows);
  return {.matrix = is_value ? &layer.v : &layer.k,
          .out = out,
          .stride = buffers_->kv_width,
          .bias = is_value ? &layer.v_bias : &layer.k_bias,
          .add_to = nullptr,
          .unit = whole / compute::kTileRows,
          .cells = cells};
}

Range Forward::heads_of(int layer, Range tiles) const {
  const AttentionKind& kind = spec_.attention(layer);
  return {tiles.begin * compute::kTileRows / kind.head_dim,
          std::min<int64_t>(tiles.end * compute::kTileRows / kind.head_dim, kind.kv_heads)};
}

// The keys or values of the block that a position lies in.
uint8_t* Forward::block_of(int layer, const Segment& segment, int64_t position, int head,
                           bool is_key) {
  const kv::PageId page = segment.sequence->pages()[static_cast<size_t>(position / kv::kPositions)];
  return is_key ? pages_.keys(page, first_layer_ + layer, head)
                : pages_.values(page, first_layer_ + layer, head);
}

// The cells that store() will write: on their way while the product is made.
void Forward::ask_for_cells(int layer, const Product& product, Range tiles) {
  const Range heads = heads_of(layer, tiles);
  const auto& shape = pages_.shape().layer(first_layer_ + layer);
  const size_t row_bytes = static_cast<size_t>(shape.head_dim * shape.cell_bytes);
  const auto ask = [](const uint8_t* begin, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(begin + at, 1);
  };
  for (const Segment& segment : segments_)
    for (int row = 0; row < segment.rows; ++row) {
      const int64_t position = segment.position + row;
      const auto within = static_cast<size_t>(position % kv::kPositions);
      for (auto head = static_cast<int>(heads.begin); head < heads.end; ++head) {
        if (product.cells != Product::kKeys)
          ask(block_of(layer, segment, position, head, false) + within * row_bytes, row_bytes);
        // Sixteen positions' keys lie together.
        if (product.cells != Product::kValues && (row == 0 || within % 16 == 0))
          ask(block_of(layer, segment, position, head, true) + within / 16 * 16 * row_bytes,
              16 * row_bytes);
      }
    }
}

// What was made of a product, whole heads of all rows, into the cache.
void Forward::store(int thread, int layer_index, const Product& product, Range tiles) {
  const int64_t d = spec_.attention(layer_index).head_dim;
  const Range heads = heads_of(layer_index, tiles);
  for (const Segment& segment : segments_)
    for (int row = segment.first_row; row < segment.first_row + segment.rows; ++row)
      for (auto head = static_cast<int>(heads.begin); head < heads.end; ++head) {
        float* values = product.out + row * product.stride + head * d;
        if (product.cells != Product::kKeys)
          store_value(thread, layer_index, segment, row, head, values);
        if (product.cells != Product::kValues)
          store_key(thread, layer_index, segment, row, head, values);
      }
}

// A row's value under one key/value head, with its norm.
void Forward::store_value(int thread, int layer, const Segment& segment, int row, int head,
                          const float* value) {
  if (spec_.value_norm) {
    float* normed = buffers_->threads[static_cast<size_t>(thread)].normed.as<float>();
    kernels_.rms_norm(value, buffers_->ones.as<float>(), spec_.norm_eps,
                      spec_.attention(layer).head_dim, normed);
    value = normed;
  }
  store_cells(thread, layer, segment, row, head, false, value);
}

// A row's key, with its norm and rotary embedding, which are done in place.
void Forward::store_key(int thread, int layer, const Segment& segment, int row, int head,
                        float* key) {
  rotate_head(layer, key, model_.layers[static_cast<size_t>(layer)].k_norm, row);
  store_cells(thread, layer, segment, row, head, true, key);
}

void Forward::store_cells(int thread, int layer, const Segment& segment, int row, int head,
                          bool is_key, const float* values) {
  const int64_t d = spec_.attention(layer).head_dim;
  const int64_t position = segment.position + row - segment.first_row;
  const int64_t within = position % kv::kPositions;
  uint8_t* block = block_of(layer, segment, position, head, is_key);
  if (pages_.shape().layer(first_layer_ + layer).cell_bytes == 4) {
    store_row(values, d, within, is_key, reinterpret_cast<float*>(block));
    return;
  }
  auto* narrow = buffers_->threads[static_cast<size_t>(thread)].narrow.as<uint16_t>();
  kernels_.narrow(values, d, narrow);
  store_row(narrow, d, within, is_key, reinterpret_cast<uint16_t*>(block));
}

}  // namespace dspark::model

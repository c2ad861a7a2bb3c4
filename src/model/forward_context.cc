// What only drafters do: rows that come from the target's features (spec B.2, B.6).
#include <algorithm>

#include "model/forward.h"
#include "model/forward_buffers.h"

namespace dspark::model {

// x = features of the rows, projected. Ends before a barrier.
void Forward::project(int thread, std::span<const float* const> features) {
  Buffers& b = *buffers_;
  const int64_t width = model_.features.columns;
  const Range range = share_rows(thread, rows_);
  for (int r = static_cast<int>(range.begin); r < range.end; ++r)
    put(features[static_cast<size_t>(r)], r, 0, width, b.for_features, r);
  pool_.barrier();
  const Product product[] = {{&model_.features, b.x.as<float>(), b.hidden, nullptr, nullptr}};
  products(thread, kOutput, features_turn(), product, b.for_features);
}

// What the attention of a layer reads where embeddings are paired with hidden rows.
void Forward::pair(int thread, const Layer& layer) {
  Buffers& b = *buffers_;
  const Range range = share_rows(thread, rows_);
  const int64_t h = spec_.hidden;
  float* pair = b.threads[static_cast<size_t>(thread)].normed.as<float>();
  for (int r = static_cast<int>(range.begin); r < range.end; ++r) {
    kernels_.rms_norm(b.row(b.embedded, r, b.hidden), layer.attention_norm.data(), spec_.norm_eps,
                      h, pair);
    kernels_.rms_norm(b.row(b.x, r, b.hidden), layer.hidden_norm.data(), spec_.norm_eps, h,
                      pair + h);
    put(pair, r, 0, 2 * h, b.for_pair, r);
  }
}

void Forward::run_context(const ContextBatch& batch) {
  CHECK(!model_.context_norm.empty(), "a model without context rows");
  start(static_cast<int>(batch.features.size()), batch.segments);
  buffers_->for_features.reshape(rows_, model_.features.columns);
  pool_.run([&](int thread) { run_context_thread(thread, batch); });
}

void Forward::run_context_thread(int thread, const ContextBatch& batch) {
  Buffers& b = *buffers_;
  set_angles(thread);
  project(thread, batch.features);
  pool_.barrier();
  normalise(thread, share_rows(thread, rows_), b.x.as<float>(), model_.context_norm, b.for_layer,
            {});
  pool_.barrier();
  const auto cells = [&](int layer, int which) {
    return b.context.as<float>() + (2 * layer + which) * int64_t{rows_} * b.kv_width;
  };
  for (int l = 0; l < spec_.layers; ++l) {
    const bool one = spec_.attention(l).values_are_keys;
    const Product both[] = {cached(one ? Product::kKeysAndValues : Product::kKeys, l, cells(l, 0)),
                            cached(Product::kValues, l, cells(l, 1))};
    products(thread, kQkv, l, std::span(both).first(one ? 1 : 2), b.for_layer);
  }
}

}  // namespace dspark::model

#include "model/forward.h"

#include <algorithm>

#include "model/forward_buffers.h"

namespace dspark::model {

using compute::Activations;
using compute::kGroup;
using compute::kTileRows;
using compute::PackedMatrix;

Forward::Forward(const Model& model, const compute::Kernels& kernels, ThreadPool& pool,
                 kv::PagePool& pages, Limits limits, int first_layer)
    : model_(model),
      spec_(model.spec),
      kernels_(kernels),
      pool_(pool),
      pages_(pages),
      limits_(limits),
      first_layer_(first_layer),
      buffers_(std::make_unique<Buffers>(model, limits, pool.threads())),
      row_ok_(std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(limits.rows))),
      next_item_(std::make_unique<std::atomic<int>[]>(static_cast<size_t>(model.spec.layers))),
      next_tile_(std::make_unique<std::atomic<int64_t>[]>(
          static_cast<size_t>((model.spec.layers + 2) * kPhases))) {
  CHECK(first_layer + spec_.layers <= pages.shape().layers(), "{} + {} layers in pages of {}",
        first_layer, spec_.layers, pages.shape().layers());
  const auto note = [this](const PackedMatrix& m) {
    (compute::is_float_type(m.type) ? float_hidden_ : quant_hidden_) = true;
  };
  note(model.output_head());
  if (!model.features.empty()) note(model.features);
  for (const Layer& layer : model.layers)
    for (const PackedMatrix* m : layer.matrices())
      if (!m->empty()) note(*m);
  plans_.resize(spec_.kinds.size());
  for (size_t k = 0; k < plans_.size(); ++k)
    plans_[k].items.reserve(static_cast<size_t>(limits.rows) *
                                static_cast<size_t>(spec_.kinds[k].kv_heads) +
                            static_cast<size_t>(buffers_->max_partials / kSplitBlocks + 1));
}

Forward::~Forward() = default;

std::span<const float> Forward::logits(int i) const {
  return {buffers_->logits.as<float>() + i * buffers_->vocab,
          static_cast<size_t>(model_.output_head().rows)};
}

void Forward::start(int rows, std::span<const Segment> segments) {
  rows_ = rows;
  segments_ = segments;
  CHECK(rows_ > 0 && rows_ <= limits_.rows, "{} rows, room for {}", rows_, limits_.rows);
  buffers_->for_layer.reshape(rows_, spec_.hidden);
  for (int r = 0; r < rows_; ++r)
    row_ok_[static_cast<size_t>(r)].store(1, std::memory_order_relaxed);
  for (int i = 0; i < (spec_.layers + 2) * kPhases; ++i)
    next_tile_[static_cast<size_t>(i)].store(0, std::memory_order_relaxed);
}

void Forward::run(const Batch& batch) {
  batch_ = &batch;
  start(static_cast<int>(batch.tokens.size()), batch.segments);
  CHECK(batch.logit_rows.size() <= static_cast<size_t>(limits_.logit_rows));
  CHECK(spec_.pairs_embedding == (!batch.features.empty() || !batch.hidden.empty()));
  if (spec_.pairs_embedding) buffers_->for_pair.reshape(rows_, spec_.attention_input());
  if (!batch.features.empty()) buffers_->for_features.reshape(rows_, model_.features.columns);
  buffers_->for_down.reshape(rows_, spec_.ffn);
  buffers_->for_head.reshape(static_cast<int>(batch.logit_rows.size()), spec_.hidden);
  for (size_t k = 0; k < plans_.size(); ++k) {
    buffers_->kinds[k].for_output.reshape(rows_, spec_.heads * spec_.kinds[k].head_dim);
    plan_attention(spec_.kinds[k], plans_[k]);
  }
  for (int l = 0; l < spec_.layers; ++l)
    next_item_[static_cast<size_t>(l)].store(0, std::memory_order_relaxed);
  pool_.run([this](int thread) { run_thread(thread); });
  batch_ = nullptr;
}

void Forward::run_thread(int thread) {
  set_angles(thread);
  embed(thread);
  if (!batch_->features.empty()) project(thread, batch_->features);
  tap(thread, -1);
  pool_.barrier();
  for (int l = 0; l < spec_.layers; ++l) run_layer(thread, l);
  Buffers& b = *buffers_;
  const int wanted = static_cast<int>(batch_->logit_rows.size());
  if (wanted == 0) return;
  if (spec_.sandwich_norms) pool_.barrier();  // until here each row was one thread's
  normalise(thread, share_rows(thread, wanted), b.x.as<float>(), model_.output_norm, b.for_head,
            batch_->logit_rows, batch_->normed);
  pool_.barrier();
  const Product head[] = {{&model_.output_head(), b.logits.as<float>(), b.vocab, nullptr, nullptr,
                           spec_.logit_softcap}};
  products(thread, kOutput, head_turn(), head, b.for_head);
}

void Forward::run_layer(int thread, int layer_index) {
  const Layer& layer = model_.layers[static_cast<size_t>(layer_index)];
  const AttentionKind& kind = spec_.attention(layer_index);
  Buffers& b = *buffers_;
  float* x = b.x.as<float>();
  float* add_to = spec_.sandwich_norms ? nullptr : x;
  const Activations* attention_input = &b.for_pair;
  if (spec_.pairs_embedding) {
    pair(thread, layer);
    pool_.barrier();
  } else {
    attention_input = &normalise_for_layer(thread, layer.attention_norm);
  }
  // Queries in the middle: keys and values, which go to the cache at once, are different threads'.
  const auto keys = kind.values_are_keys ? Product::kKeysAndValues : Product::kKeys;
  const Product kqv[] = {cached(keys, layer_index, b.k.as<float>()),
                         {&layer.q, b.q.as<float>(), b.q_width, &layer.q_bias, nullptr},
                         cached(Product::kValues, layer_index, b.v.as<float>())};
  products(thread, kQkv, layer_index, std::span(kqv).first(kind.values_are_keys ? 2 : 3),
           *attention_input);
  pool_.barrier();
  attend(thread, layer_index);
  pool_.barrier();
  if (plan(layer_index).has_partials) {
    merge_partials(thread, layer_index);
    pool_.barrier();
  }
  if (kind.head_dim % kGroup != 0) {
    collect(thread, layer_index);
    pool_.barrier();
  }
  const Product output[] = {{&layer.o, b.product.as<float>(), b.hidden, &layer.o_bias, add_to}};
  products(thread, kOutput, layer_index, output, b.kind(layer_index).for_output);
  pool_.barrier();
  if (spec_.sandwich_norms) add_normed(thread, layer.attention_post_norm, 1);
  gate_and_up(thread, layer_index, normalise_for_layer(thread, layer.ffn_norm));
  pool_.barrier();
  const Product down[] = {{&layer.down, b.product.as<float>(), b.hidden, nullptr, add_to}};
  products(thread, kDown, layer_index, down, b.for_down);
  pool_.barrier();
  if (spec_.sandwich_norms) add_normed(thread, layer.ffn_post_norm, layer.scale);
  tap(thread, layer_index);
}

// Cosines and sines of the rows' positions.
void Forward::set_angles(int thread) {
  Buffers& b = *buffers_;
  const Range range = share_rows(thread, rows_);
  for (size_t k = 0; k < b.kinds.size(); ++k) {
    const Rotation& rotation = model_.rotations[k];
    const auto pairs = static_cast<int>(rotation.inv_freq.size());
    for (const Segment& segment : segments_)
      for (int r = std::max<int>(segment.first_row, static_cast<int>(range.begin));
           r < std::min<int>(segment.first_row + segment.rows, static_cast<int>(range.end)); ++r) {
        const auto position = static_cast<float>(segment.position + r - segment.first_row);
        for (int i = 0; i < pairs; ++i) {
          const float angle = position * rotation.inv_freq[static_cast<size_t>(i)];
          double sine, cosine;
          real_sin_cos(angle, &sine, &cosine);
          b.row(b.kinds[k].cosine, r, pairs)[i] = static_cast<float>(cosine) * rotation.amplitude;
          b.row(b.kinds[k].sine, r, pairs)[i] = static_cast<float>(sine) * rotation.amplitude;
        }
      }
  }
}

void Forward::embed(int thread) {
  Buffers& b = *buffers_;
  const Range range = share_rows(thread, rows_);
  for (int r = static_cast<int>(range.begin); r < range.end; ++r) {
    float* out = b.row(spec_.pairs_embedding ? b.embedded : b.x, r, b.hidden);
    compute::unpack_row(model_.embedding, batch_->tokens[static_cast<size_t>(r)], out);
    if (model_.embedding_scale != 1)
      for (int c = 0; c < spec_.hidden; ++c) out[c] *= model_.embedding_scale;
    if (!batch_->hidden.empty())
      std::copy_n(batch_->hidden[static_cast<size_t>(r)], spec_.hidden, b.row(b.x, r, b.hidden));
  }
}

// Hands columns [begin, end) of a row to the next product, in the forms that the weights read.
// Quantised forms take whole groups.
void Forward::put(const float* x, int row, int64_t begin, int64_t end, Activations& out,
                  int batch_row) {
  bool fine = true;
  if (quant_hidden_ && out.columns() % kGroup == 0)
    fine = kernels_.quantise(x, (end - begin) / kGroup, out.group(row, begin / kGroup),
                             out.group_stride(row));
  if (float_hidden_) fine = out.set_floats(row, begin, end, x) && fine;
  if (!fine) row_ok_[static_cast<size_t>(batch_row)].store(0, std::memory_order_relaxed);
}

// range: of the rows, or of those picked. pick: which rows of x; empty for all. keep: [rows,
// hidden], a copy of the result; may be null.
void Forward::normalise(int thread, Range range, const float* x, const std::vector<float>& weight,
                        Activations& out, std::span<const int32_t> pick, float* keep) {
  Buffers& b = *buffers_;
  float* normed = b.threads[static_cast<size_t>(thread)].normed.as<float>();
  for (int i = static_cast<int>(range.begin); i < range.end; ++i) {
    const int row = pick.empty() ? i : pick[static_cast<size_t>(i)];
    kernels_.rms_norm(x + row * b.hidden, weight.data(), spec_.norm_eps, spec_.hidden, normed);
    put(normed, i, 0, spec_.hidden, out, row);
    if (keep != nullptr) std::copy_n(normed, spec_.hidden, keep + int64_t{i} * spec_.hidden);
  }
}

// All rows of x for the layer's next products, behind a barrier. Few rows each thread takes for
// itself: that costs less than a barrier and cache lines that two threads write.
const Activations& Forward::normalise_for_layer(int thread, const std::vector<float>& weight) {
  Buffers& b = *buffers_;
  const float* x = b.x.as<float>();
  if (rows_ > kOwnRows || spec_.sandwich_norms) {
    normalise(thread, share_rows(thread, rows_), x, weight, b.for_layer, {});
    pool_.barrier();
    return b.for_layer;
  }
  Activations& own = b.threads[static_cast<size_t>(thread)].own;
  own.reshape(rows_, spec_.hidden);
  normalise(thread, {0, rows_}, x, weight, own, {});
  return own;
}

// x += the normalised product, then x *= scale, of the same rows as in normalise(): no barrier is
// needed between the two.
void Forward::add_normed(int thread, const std::vector<float>& weight, float scale) {
  Buffers& b = *buffers_;
  const Range range = share_rows(thread, rows_);
  for (int r = static_cast<int>(range.begin); r < range.end; ++r) {
    float *product = b.row(b.product, r, b.hidden), *x = b.row(b.x, r, b.hidden);
    kernels_.rms_norm(product, weight.data(), spec_.norm_eps, spec_.hidden, product);
    kernels_.add(x, product, spec_.hidden);
    if (scale != 1)
      for (int c = 0; c < spec_.hidden; ++c) x[c] *= scale;
  }
}

// Calls body(range) with this thread's tiles of a phase; a range begins and ends where align(tile),
// the next place that may be one, says. Of few rows an even share at once: handing out costs more
// than a slower core's lag. Of more, half of an even share of what is left, time and again, so that
// a slower core ends with less.
template <class Align, class Body>
void Forward::share_tiles(int thread, Phase phase, int layer, int64_t tiles, Align align,
                          Body body) {
  const int threads = pool_.threads();
  if (rows_ <= kEvenRows) {
    const Range even = split_range(tiles, threads, thread);
    const Range range{align(even.begin), align(even.end)};
    if (range.begin < range.end) body(range);
    return;
  }
  std::atomic<int64_t>& next = next_tile_[static_cast<size_t>(layer * kPhases + phase)];
  for (int64_t begin = next.load(std::memory_order_relaxed); begin < tiles;) {
    const int64_t share = std::max<int64_t>((tiles - begin) / (2 * threads), 1);
    const int64_t end = align(begin + share);
    if (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
    body(Range{begin, end});
    begin = next.load(std::memory_order_relaxed);
  }
}

// All matrices of the list over all rows, tiles handed out to the threads. What goes to the cache
// goes there by the thread that made it.
void Forward::products(int thread, Phase phase, int layer, std::span<const Product> list,
                       const Activations& x) {
  int64_t tiles = 0;
  for (const Product& p : list) tiles += p.matrix->tiles();
  const auto align = [list](int64_t tile) {
    int64_t first = 0;
    for (const Product& p : list) {
      const int64_t within = tile - first, of_matrix = p.matrix->tiles();
      if (within <= of_matrix)
        return first + std::min((within + p.unit - 1) / p.unit * p.unit, of_matrix);
      first += of_matrix;
    }
    return first;
  };
  share_tiles(thread, phase, layer, tiles, align, [&](Range range) {
    int64_t first = 0;
    for (const Product& p : list) {
      const Range part{std::max<int64_t>(range.begin - first, 0),
                       std::min<int64_t>(range.end - first, p.matrix->tiles())};
      first += p.matrix->tiles();
      if (part.begin >= part.end) continue;
      if (p.cells != Product::kNone && rows_ <= kEvenRows) ask_for_cells(layer, p, part);
      multiply(p, part, x);
      if (p.cells != Product::kNone) store(thread, layer, p, part);
    }
  });
}

void Forward::multiply(const Product& p, Range tiles, const Activations& x) {
  kernels_.matmul(*p.matrix, x.view(), tiles.begin, tiles.end, p.out, p.stride);
  const int64_t column = tiles.begin * kTileRows, width = (tiles.end - tiles.begin) * kTileRows;
  for (int r = 0; r < x.rows(); ++r) {
    float* out = p.out + r * p.stride + column;
    if (p.bias != nullptr && !p.bias->empty()) kernels_.add(out, p.bias->data() + column, width);
    if (p.softcap > 0) kernels_.soft_cap(out, p.softcap, width);
    if (p.add_to != nullptr) kernels_.add(p.add_to + r * p.stride + column, out, width);
  }
}

// A thread makes the same columns of gate and up, so it can go on to what the down projection
// reads.
void Forward::gate_and_up(int thread, int layer_index, const Activations& x) {
  const Layer& layer = model_.layers[static_cast<size_t>(layer_index)];
  Buffers& b = *buffers_;
  const int64_t tiles = layer.gate.tiles();
  constexpr int64_t kPair = kGroup / kTileRows;  // tiles of a scale group
  float *gate = b.gate.as<float>(), *up = b.up.as<float>();
  const auto multiply =
      spec_.activation == Activation::kGeluTanh ? kernels_.gelu_multiply : kernels_.silu_multiply;
  const auto align = [tiles](int64_t tile) {
    return std::min((tile + kPair - 1) / kPair * kPair, tiles);
  };
  share_tiles(thread, kGateUp, layer_index, tiles, align, [&](Range range) {
    kernels_.matmul(layer.gate, x.view(), range.begin, range.end, gate, b.ffn);
    kernels_.matmul(layer.up, x.view(), range.begin, range.end, up, b.ffn);
    const int64_t column = range.begin * kTileRows;
    const int64_t last = std::min<int64_t>(range.end * kTileRows, spec_.ffn);
    for (int r = 0; r < rows_; ++r) {
      float* out = gate + r * b.ffn + column;
      multiply(out, up + r * b.ffn + column, last - column, out);
      put(out, r, column, last, b.for_down, r);
    }
  });
}

void Forward::tap(int thread, int layer) {
  const auto taps = batch_->tap_layers;
  const auto found = std::find(taps.begin(), taps.end(), layer);
  if (found == taps.end()) return;
  Buffers& b = *buffers_;
  const Range range = share_rows(thread, rows_);
  for (int r = static_cast<int>(range.begin); r < range.end; ++r)
    std::copy_n(b.row(b.x, r, b.hidden), spec_.hidden,
                batch_->taps + (r * static_cast<int64_t>(taps.size()) + (found - taps.begin())) *
                                   spec_.hidden);
}

}  // namespace dspark::model

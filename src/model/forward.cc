#include "model/forward.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "model/forward_buffers.h"

namespace dspark::model {

using compute::Activations;
using compute::AlignedBuffer;
using compute::kGroup;
using compute::kTileRows;
using compute::PackedMatrix;

namespace {

AlignedBuffer floats(int64_t rows, int64_t width) {
  return AlignedBuffer(static_cast<size_t>(rows * width) * sizeof(float));
}

// Split by blocks pays only while there are few items; then this many partial states are enough.
int64_t most_partials(const Spec& spec, const Limits& limits, int threads) {
  const int64_t segments = 4 * threads / spec.kv_heads + 1;
  const int64_t blocks = (limits.context + compute::kAttentionBlock - 1) / compute::kAttentionBlock;
  return std::min<int64_t>(segments * std::min(kSplitRows, limits.rows) * spec.heads * blocks,
                           1 << 20);
}

}  // namespace

Forward::Buffers::Buffers(const Model& model, const Limits& limits, int thread_count)
    : hidden(padded(model.spec.hidden)),
      q_width(padded(model.spec.q_width())),
      kv_width(padded(model.spec.kv_width())),
      ffn(padded(model.spec.ffn)),
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
      embedded(floats(model.spec.pairs_embedding ? limits.rows : 0, hidden)),
      context(
          floats(model.context_norm.empty() ? 0 : limits.rows, 2 * model.spec.layers * kv_width)),
      cosine(floats(limits.rows, model.spec.rope.dim / 2)),
      sine(floats(limits.rows, model.spec.rope.dim / 2)),
      for_layer(limits.rows, model.spec.hidden),
      for_output(limits.rows, model.spec.q_width()),
      for_down(limits.rows, model.spec.ffn),
      for_head(limits.logit_rows, model.spec.hidden),
      for_features(model.features.empty() ? 0 : limits.rows, model.features.columns),
      for_pair(model.spec.pairs_embedding ? limits.rows : 0, model.spec.attention_input()),
      max_partials(most_partials(model.spec, limits, thread_count)),
      partials(static_cast<size_t>(max_partials)),
      partial_values(floats(max_partials, model.spec.head_dim)) {
  const auto queries =
      static_cast<size_t>(kAttentionRows * (model.spec.heads / model.spec.kv_heads));
  const int64_t head_dim = model.spec.head_dim;
  threads.resize(static_cast<size_t>(thread_count));
  for (Thread& t : threads) {
    t.normed = floats(1, std::max({hidden, head_dim, padded(model.spec.attention_input())}));
    t.narrow = AlignedBuffer(static_cast<size_t>(head_dim) * sizeof(uint16_t));
    t.total.resize(queries);
    t.part.resize(queries);
    t.total_values = floats(static_cast<int64_t>(queries), head_dim);
    t.part_values = floats(static_cast<int64_t>(queries), head_dim);
    for (size_t i = 0; i < queries; ++i) {
      t.total[i].values = t.total_values.as<float>() + static_cast<int64_t>(i) * head_dim;
      t.part[i].values = t.part_values.as<float>() + static_cast<int64_t>(i) * head_dim;
    }
    t.queries.resize(queries);
    t.visible.resize(queries);
  }
  for (int64_t i = 0; i < max_partials; ++i)
    partials[static_cast<size_t>(i)].values = partial_values.as<float>() + i * head_dim;
}

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
    for (const PackedMatrix* m :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down})
      note(*m);
  items_.reserve(static_cast<size_t>(limits.rows) * static_cast<size_t>(spec_.kv_heads) +
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
  buffers_->for_output.reshape(rows_, spec_.q_width());
  buffers_->for_down.reshape(rows_, spec_.ffn);
  buffers_->for_head.reshape(static_cast<int>(batch.logit_rows.size()), spec_.hidden);
  plan_attention();
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
  normalise(thread, b.x.as<float>(), wanted, model_.output_norm, b.for_head, batch_->logit_rows,
            batch_->normed);
  pool_.barrier();
  const Product head[] = {{&model_.output_head(), b.logits.as<float>(), b.vocab, nullptr, nullptr}};
  products(kOutput, head_turn(), head, b.for_head);
}

void Forward::run_layer(int thread, int layer_index) {
  const Layer& layer = model_.layers[static_cast<size_t>(layer_index)];
  Buffers& b = *buffers_;
  float* x = b.x.as<float>();
  if (spec_.pairs_embedding)
    pair(thread, layer);
  else
    normalise(thread, x, rows_, layer.attention_norm, b.for_layer, {});
  pool_.barrier();
  const Product qkv[] = {{&layer.q, b.q.as<float>(), b.q_width, &layer.q_bias, nullptr},
                         {&layer.k, b.k.as<float>(), b.kv_width, &layer.k_bias, nullptr},
                         {&layer.v, b.v.as<float>(), b.kv_width, &layer.v_bias, nullptr}};
  products(kQkv, layer_index, qkv, spec_.pairs_embedding ? b.for_pair : b.for_layer);
  pool_.barrier();
  if (has_long_segments_) {
    rotate_and_store_long(thread, layer_index);
    pool_.barrier();
  }
  attend(thread, layer_index);
  pool_.barrier();
  if (has_partials_) {
    merge_partials(thread);
    pool_.barrier();
  }
  if (spec_.head_dim % kGroup != 0) {
    collect(thread);
    pool_.barrier();
  }
  const Product output[] = {{&layer.o, b.product.as<float>(), b.hidden, &layer.o_bias, x}};
  products(kOutput, layer_index, output, b.for_output);
  pool_.barrier();
  normalise(thread, x, rows_, layer.ffn_norm, b.for_layer, {});
  pool_.barrier();
  gate_and_up(layer_index);
  pool_.barrier();
  const Product down[] = {{&layer.down, b.product.as<float>(), b.hidden, nullptr, x}};
  products(kDown, layer_index, down, b.for_down);
  pool_.barrier();
  tap(thread, layer_index);
}

// Cosines and sines of the rows' positions.
void Forward::set_angles(int thread) {
  Buffers& b = *buffers_;
  const Range range = split_range(rows_, pool_.threads(), thread);
  const int pairs = spec_.rope.dim / 2;
  for (const Segment& segment : segments_)
    for (int r = std::max<int>(segment.first_row, static_cast<int>(range.begin));
         r < std::min<int>(segment.first_row + segment.rows, static_cast<int>(range.end)); ++r) {
      const auto position = static_cast<float>(segment.position + r - segment.first_row);
      for (int i = 0; i < pairs; ++i) {
        const float angle = position * model_.rope_inv_freq[static_cast<size_t>(i)];
        double sine, cosine;
        real_sin_cos(angle, &sine, &cosine);
        b.row(b.cosine, r, pairs)[i] = static_cast<float>(cosine) * model_.rope_amplitude;
        b.row(b.sine, r, pairs)[i] = static_cast<float>(sine) * model_.rope_amplitude;
      }
    }
}

void Forward::embed(int thread) {
  Buffers& b = *buffers_;
  const Range range = split_range(rows_, pool_.threads(), thread);
  for (int r = static_cast<int>(range.begin); r < range.end; ++r) {
    float* out = b.row(spec_.pairs_embedding ? b.embedded : b.x, r, b.hidden);
    compute::unpack_row(model_.embedding, batch_->tokens[static_cast<size_t>(r)], out);
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

// pick: which rows of x; empty for all. keep: [rows, hidden], a copy of the result; may be null.
void Forward::normalise(int thread, const float* x, int rows, const std::vector<float>& weight,
                        Activations& out, std::span<const int32_t> pick, float* keep) {
  Buffers& b = *buffers_;
  const Range range = split_range(rows, pool_.threads(), thread);
  float* normed = b.threads[static_cast<size_t>(thread)].normed.as<float>();
  for (int i = static_cast<int>(range.begin); i < range.end; ++i) {
    const int row = pick.empty() ? i : pick[static_cast<size_t>(i)];
    kernels_.rms_norm(x + row * b.hidden, weight.data(), spec_.norm_eps, spec_.hidden, normed);
    put(normed, i, 0, spec_.hidden, out, row);
    if (keep != nullptr) std::copy_n(normed, spec_.hidden, keep + int64_t{i} * spec_.hidden);
  }
}

// The next tiles of a phase for the thread that asks, in multiples of `least`; empty when none is
// left. Half of an even share of the rest, so that a slower core ends with less; with few rows
// memory is the limit, which long runs of tiles serve best, and shares are even.
Range Forward::take_tiles(Phase phase, int layer, int64_t tiles, int64_t least) {
  std::atomic<int64_t>& next = next_tile_[static_cast<size_t>(layer * kPhases + phase)];
  int64_t begin = next.load(std::memory_order_relaxed), end;
  do {
    if (begin >= tiles) return {tiles, tiles};
    const int64_t share = rows_ <= kMemoryBoundRows
                              ? (tiles + pool_.threads() - 1) / pool_.threads()
                              : (tiles - begin) / (2 * pool_.threads());
    end = std::min(begin + std::max(share / least * least, least), tiles);
  } while (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed));
  return {begin, end};
}

// All matrices of the list over all rows, tiles handed out to the threads.
void Forward::products(Phase phase, int layer, std::span<const Product> list,
                       const Activations& x) {
  int64_t tiles = 0;
  for (const Product& p : list) tiles += p.matrix->tiles();
  for (Range range; (range = take_tiles(phase, layer, tiles, 1)).begin < tiles;) {
    int64_t first = 0;
    for (const Product& p : list) {
      const int64_t begin = std::max<int64_t>(range.begin - first, 0);
      const int64_t end = std::min<int64_t>(range.end - first, p.matrix->tiles());
      first += p.matrix->tiles();
      if (begin >= end) continue;
      kernels_.matmul(*p.matrix, x.view(), begin, end, p.out, p.stride);
      const int64_t column = begin * kTileRows, width = (end - begin) * kTileRows;
      for (int r = 0; r < x.rows(); ++r) {
        float* out = p.out + r * p.stride + column;
        if (p.bias != nullptr && !p.bias->empty())
          kernels_.add(out, p.bias->data() + column, width);
        if (p.add_to != nullptr) kernels_.add(p.add_to + r * p.stride + column, out, width);
      }
    }
  }
}

// A thread makes the same columns of gate and up, so it can go on to what the down projection
// reads.
void Forward::gate_and_up(int layer_index) {
  const Layer& layer = model_.layers[static_cast<size_t>(layer_index)];
  Buffers& b = *buffers_;
  const int64_t tiles = layer.gate.tiles();
  constexpr int64_t kPair = kGroup / kTileRows;  // tiles of a scale group
  float *gate = b.gate.as<float>(), *up = b.up.as<float>();
  for (Range range; (range = take_tiles(kGateUp, layer_index, tiles, kPair)).begin < tiles;) {
    kernels_.matmul(layer.gate, b.for_layer.view(), range.begin, range.end, gate, b.ffn);
    kernels_.matmul(layer.up, b.for_layer.view(), range.begin, range.end, up, b.ffn);
    const int64_t column = range.begin * kTileRows;
    const int64_t last = std::min<int64_t>(range.end * kTileRows, spec_.ffn);
    for (int r = 0; r < rows_; ++r) {
      float* out = gate + r * b.ffn + column;
      kernels_.silu_multiply(out, up + r * b.ffn + column, last - column, out);
      put(out, r, column, last, b.for_down, r);
    }
  }
}

void Forward::tap(int thread, int layer) {
  const auto taps = batch_->tap_layers;
  const auto found = std::find(taps.begin(), taps.end(), layer);
  if (found == taps.end()) return;
  Buffers& b = *buffers_;
  const Range range = split_range(rows_, pool_.threads(), thread);
  for (int r = static_cast<int>(range.begin); r < range.end; ++r)
    std::copy_n(b.row(b.x, r, b.hidden), spec_.hidden,
                batch_->taps + (r * static_cast<int64_t>(taps.size()) + (found - taps.begin())) *
                                   spec_.hidden);
}

double Forward::time_matrices_ms(int rows, int repetitions) {
  Buffers& b = *buffers_;
  CHECK(rows <= limits_.rows && rows <= limits_.logit_rows);
  for (Activations* a : {&b.for_layer, &b.for_output, &b.for_down, &b.for_head})
    a->reshape(rows, a == &b.for_output ? spec_.q_width()
                     : a == &b.for_down ? spec_.ffn
                                        : spec_.hidden);
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool_.run([&](int thread) {
      const auto one = [&](const PackedMatrix& m, float* out, int64_t stride,
                           const Activations& x) {
        const Range range = split_range(m.tiles(), pool_.threads(), thread);
        kernels_.matmul(m, x.view(), range.begin, range.end, out, stride);
        pool_.barrier();
      };
      for (const Layer& layer : model_.layers) {
        one(layer.q, b.q.as<float>(), b.q_width, b.for_layer);
        one(layer.k, b.k.as<float>(), b.kv_width, b.for_layer);
        one(layer.v, b.v.as<float>(), b.kv_width, b.for_layer);
        one(layer.o, b.product.as<float>(), b.hidden, b.for_output);
        one(layer.gate, b.gate.as<float>(), b.ffn, b.for_layer);
        one(layer.up, b.up.as<float>(), b.ffn, b.for_layer);
        one(layer.down, b.product.as<float>(), b.hidden, b.for_down);
      }
      one(model_.output_head(), b.logits.as<float>(), b.vocab, b.for_head);
    });
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    times.push_back(took.count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace dspark::model

// One forward pass over the ragged rows of many requests.
//
// A row's result is a function of its token, its position, the rows before it in its sequence and
// the weights; see the numerics contract in docs/decisions.md for how work is split without
// changing it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/base.h"
#include "compute/compute.h"
#include "kv/kv.h"
#include "model/load.h"

namespace dspark::model {

// Consecutive rows of one request: rows [first_row, first_row + rows) of the batch hold the tokens
// at positions [position, position + rows). The sequence has room for them and has all earlier
// positions.
struct Segment {
  const kv::Sequence* sequence;
  int first_row;
  int rows;
  int64_t position;
  bool is_block = false;  // a drafter's block: its rows see all of one another
  int64_t seen_from = 0;  // positions before it are hidden from the rows
};

struct Batch {
  std::span<const int32_t> tokens;      // [rows]
  std::span<const Segment> segments;    // cover all rows, in order
  std::span<const int32_t> logit_rows;  // rows whose logits are wanted, ascending
  // Taps: residual streams to hand out. Layer -1 is the embedding output, l the output of decoder
  // layer l.
  std::span<const int> tap_layers = {};  // ascending
  float* taps = nullptr;                 // [rows, tap_layers, hidden]
  float* normed = nullptr;               // [logit_rows, hidden]: what the head reads; may be null
  // Drafters whose attention pairs embeddings with hidden rows (Eagle3): where the residual stream
  // starts, as features to project or as it is. One of the two: [rows] pointers to [taps * hidden]
  // or [hidden] values.
  std::span<const float* const> features = {};
  std::span<const float* const> hidden = {};
};

// Rows of which a drafter's layers keep only keys and values (spec B.2).
struct ContextBatch {
  std::span<const Segment> segments;       // cover all rows, in order
  std::span<const float* const> features;  // [rows]: pointers to [taps * hidden] values
};

struct Limits {
  int rows = 0;         // most rows of a batch
  int logit_rows = 0;   // most rows with logits
  int64_t context = 0;  // most positions of a sequence
};

class Forward {
 public:
  // first_layer: which of the pages' layers is the model's first.
  Forward(const Model& model, const compute::Kernels& kernels, ThreadPool& pool,
          kv::PagePool& pages, Limits limits, int first_layer = 0);
  ~Forward();

  // Runs the batch; keys and values of its rows are written to their pages. No allocation.
  void run(const Batch& batch);

  // Projects features and writes keys and values of all layers; no attention, no logits.
  void run_context(const ContextBatch& batch);

  // Of the last batch. logits(i): [rows of the head], of
  // logit_rows[i]. row_ok: false when a value of the row
  // was not finite (its results are void; other rows are not affected).
  std::span<const float> logits(int i) const;
  bool row_ok(int row) const {
    return row_ok_[static_cast<size_t>(row)].load(std::memory_order_relaxed) != 0;
  }

  // Milliseconds of every matrix product of a batch of `rows` rows (logits for all), nothing else.
  double time_matrices_ms(int rows, int repetitions);

 private:
  enum Phase { kQkv, kOutput, kGateUp, kDown, kPhases };  // matrix products of a layer
  // Of a pass's turn-taking counters: the layers', then these.
  int head_turn() const { return spec_.layers; }
  int features_turn() const { return spec_.layers + 1; }
  struct Product {  // a matrix and where its output columns go
    const compute::PackedMatrix* matrix;
    float* out;  // [rows, stride]
    int64_t stride;
    const std::vector<float>* bias;  // may be null or empty
    float* add_to;                   // residual rows [rows, stride]; may be null
    float softcap = 0;               // of the output; 0: none
    int64_t unit = 1;                // so many tiles in a row are one thread's
    // What they become cells of, in the cache.
    enum Cells { kNone, kKeys, kValues, kKeysAndValues } cells = kNone;
  };
  // Attention of some rows of a segment under one key/value head, over some blocks.
  struct AttentionItem {
    int segment, kv_head, first_row, rows;  // rows of the batch
    int block_begin, block_end;
    bool leads;       // the first of the items that have these rows under this head
    int64_t partial;  // index of its first partial state, -1 to merge and finish in place
  };
  // What the layers of one kind do for the rows of this pass.
  struct AttentionPlan {
    std::vector<AttentionItem> items;
    bool has_partials = false;
  };

  void run_thread(int thread);
  void run_layer(int thread, int layer_index);
  void start(int rows, std::span<const Segment> segments);
  void set_angles(int thread);
  void embed(int thread);
  void project(int thread, std::span<const float* const> features);
  void pair(int thread, const Layer& layer);
  void run_context_thread(int thread, const ContextBatch& batch);
  Range share_rows(int thread, int rows) const {
    return split_range(rows, pool_.threads(), thread);
  }
  void normalise(int thread, Range range, const float* x, const std::vector<float>& weight,
                 compute::Activations& out, std::span<const int32_t> pick, float* keep = nullptr);
  const compute::Activations& normalise_for_layer(int thread, const std::vector<float>& weight);
  void put(const float* x, int row, int64_t begin, int64_t end, compute::Activations& out,
           int batch_row);
  template <class Align, class Body>
  void share_tiles(int thread, Phase phase, int layer, int64_t tiles, Align align, Body body);
  void products(int thread, Phase phase, int layer, std::span<const Product> list,
                const compute::Activations& x);
  void multiply(const Product& product, Range tiles, const compute::Activations& x);
  Product cached(Product::Cells cells, int layer, float* out);
  void rotate_head(int layer, float* values, const std::vector<float>& norm, int row);
  Range heads_of(int layer, Range tiles) const;
  uint8_t* block_of(int layer, const Segment& segment, int64_t position, int head, bool is_key);
  void ask_for_cells(int layer, const Product& product, Range tiles);
  void store(int thread, int layer, const Product& product, Range tiles);
  void store_key(int thread, int layer, const Segment& segment, int row, int head, float* key);
  void store_value(int thread, int layer, const Segment& segment, int row, int head,
                   const float* value);
  void store_cells(int thread, int layer, const Segment& segment, int row, int head, bool is_key,
                   const float* values);
  void put_attended(int layer, int row, int head, int heads);
  void collect(int thread, int layer);
  void add_normed(int thread, const std::vector<float>& weight, float scale);
  void gate_and_up(int thread, int layer, const compute::Activations& x);
  void tap(int thread, int layer);
  int batch_row_of_logit(int i) const { return batch_->logit_rows[static_cast<size_t>(i)]; }

  const AttentionPlan& plan(int layer) const {
    return plans_[static_cast<size_t>(spec_.kind_index(layer))];
  }
  void plan_attention(const AttentionKind& kind, AttentionPlan& plan);
  void attend(int thread, int layer);
  void attend_item(const AttentionItem& item, int layer, int thread, const uint8_t* next);
  const uint8_t* cells(const AttentionItem& item, int block, int layer) const;
  void merge_partials(int thread, int layer);

  struct Buffers;
  const Model& model_;
  const Spec& spec_;
  const compute::Kernels& kernels_;
  ThreadPool& pool_;
  kv::PagePool& pages_;
  const Limits limits_;
  const int first_layer_;
  const Batch* batch_ = nullptr;  // null in run_context()
  std::span<const Segment> segments_;
  int rows_ = 0;
  bool float_hidden_ = false,
       quant_hidden_ = false;  // which forms of activations the matrices read
  std::unique_ptr<Buffers> buffers_;
  std::unique_ptr<std::atomic<uint8_t>[]> row_ok_;
  std::vector<AttentionPlan> plans_;                   // [kinds]
  std::unique_ptr<std::atomic<int>[]> next_item_;      // [layers]
  std::unique_ptr<std::atomic<int64_t>[]> next_tile_;  // [layers + 2][kPhases]
};

}  // namespace dspark::model

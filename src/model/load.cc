#include "model/load.h"

#include <atomic>
#include <cmath>

#include "model/weights.h"

namespace dspark::model {
namespace {

using compute::kTileRows;
using compute::PackedMatrix;

// A matrix to pack: where from, where to, in which order of rows.
struct Job {
  Part part;
  int layer;
  int64_t rows, columns;
  PackedMatrix* out;
  int reorder_heads;  // > 0: rows of so many heads go from interleaved to half-split pairs
};

// Source row of output row `row` when a head's pairs (2i, 2i+1) become (i, i + pairs).
int64_t half_split_source(int64_t row, int64_t head_rows, int64_t rotated) {
  const int64_t head = row / head_rows, within = row % head_rows, pairs = rotated / 2;
  if (within >= rotated) return row;
  return head * head_rows + (within < pairs ? 2 * within : 2 * (within - pairs) + 1);
}

class Loader {
 public:
  Loader(WeightFile& file, const LoadOptions& options, ThreadPool& pool, Model& model)
      : file_(file), options_(options), pool_(pool), model_(model) {}

  Status load() {
    list_jobs();
    DSPARK_RETURN_IF_ERROR(load_vectors());
    DSPARK_RETURN_IF_ERROR(place_matrices());
    size_t done = 0;
    for (size_t i = 0; i < jobs_.size(); ++i) {
      DSPARK_RETURN_IF_ERROR(pack(jobs_[i], *views_[i]));
      file_.release(*views_[i]);
      done += jobs_[i].out->bytes();
      if (options_.progress) options_.progress(done, model_.weight_bytes);
    }
    return file_.check_all_used();
  }

 private:
  void list_jobs() {
    const Spec& s = model_.spec;
    jobs_.push_back({Part::kEmbedding, 0, s.vocab, s.hidden, &model_.embedding, 0});
    if (!s.tied_head) jobs_.push_back({Part::kHead, 0, s.vocab, s.hidden, &model_.head, 0});
    model_.layers.resize(static_cast<size_t>(s.layers));
    for (int l = 0; l < s.layers; ++l) {
      Layer& layer = model_.layers[static_cast<size_t>(l)];
      const int q_heads = s.interleaved_rope ? s.heads : 0,
                k_heads = s.interleaved_rope ? s.kv_heads : 0;
      jobs_.push_back({Part::kQ, l, s.q_width(), s.hidden, &layer.q, q_heads});
      jobs_.push_back({Part::kK, l, s.kv_width(), s.hidden, &layer.k, k_heads});
      jobs_.push_back({Part::kV, l, s.kv_width(), s.hidden, &layer.v, 0});
      jobs_.push_back({Part::kO, l, s.hidden, s.q_width(), &layer.o, 0});
      jobs_.push_back({Part::kGate, l, s.ffn, s.hidden, &layer.gate, 0});
      jobs_.push_back({Part::kUp, l, s.ffn, s.hidden, &layer.up, 0});
      jobs_.push_back({Part::kDown, l, s.hidden, s.ffn, &layer.down, 0});
    }
  }

  // One vector, padded with zeros to whole tiles.
  Status load_vector(Part part, int layer, int64_t n, std::vector<float>& out,
                     int reorder_heads = 0) {
    DSPARK_TRY(const TensorView* view, file_.find(part, layer, {n}));
    if (is_quantised(view->type))
      return fail("{}: tensor {}: expected a float type", file_.name(), view->name);
    std::vector<float> stored(static_cast<size_t>(n));
    dequantise(view->type, view->data, stored.data(), stored.size());
    for (float v : stored)
      if (!std::isfinite(v))
        return fail("{}: tensor {}: a value is not finite", file_.name(), view->name);
    out.assign(static_cast<size_t>((n + kTileRows - 1) / kTileRows * kTileRows), 0);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t from =
          reorder_heads > 0 ? half_split_source(i, n / reorder_heads, model_.spec.rope.dim) : i;
      out[static_cast<size_t>(i)] = stored[static_cast<size_t>(from)];
    }
    return {};
  }

  Status load_vectors() {
    const Spec& s = model_.spec;
    DSPARK_RETURN_IF_ERROR(load_vector(Part::kOutputNorm, 0, s.hidden, model_.output_norm));
    for (int l = 0; l < s.layers; ++l) {
      Layer& layer = model_.layers[static_cast<size_t>(l)];
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kAttentionNorm, l, s.hidden, layer.attention_norm));
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kFfnNorm, l, s.hidden, layer.ffn_norm));
      if (s.qkv_bias) {
        const bool split = s.interleaved_rope;
        DSPARK_RETURN_IF_ERROR(
            load_vector(Part::kQBias, l, s.q_width(), layer.q_bias, split ? s.heads : 0));
        DSPARK_RETURN_IF_ERROR(
            load_vector(Part::kKBias, l, s.kv_width(), layer.k_bias, split ? s.kv_heads : 0));
        DSPARK_RETURN_IF_ERROR(load_vector(Part::kVBias, l, s.kv_width(), layer.v_bias));
      }
      if (s.output_bias)
        DSPARK_RETURN_IF_ERROR(load_vector(Part::kOBias, l, s.hidden, layer.o_bias));
      if (s.qk_norm) {
        DSPARK_RETURN_IF_ERROR(load_vector(Part::kQNorm, l, s.head_dim, layer.q_norm));
        DSPARK_RETURN_IF_ERROR(load_vector(Part::kKNorm, l, s.head_dim, layer.k_norm));
      }
    }
    return {};
  }

  // Finds every matrix, decides its type and its place in one block of memory.
  Status place_matrices() {
    size_t total = 0;
    std::vector<size_t> offsets;
    for (const Job& job : jobs_) {
      DSPARK_TRY(const TensorView* view, file_.find(job.part, job.layer, {job.rows, job.columns}));
      const DType type = options_.quantise.value_or(view->type);
      if (job.columns % dtype_info(type).block_values != 0 ||
          (!compute::is_float_type(type) && job.columns % compute::kGroup != 0))
        return fail("{}: tensor {}: rows of {} values cannot be {} (blocks of {})", file_.name(),
                    view->name, job.columns, dtype_info(type).name, dtype_info(type).block_values);
      *job.out = {type, job.rows, job.columns, nullptr};
      views_.push_back(view);
      offsets.push_back(total);
      total += (job.out->bytes() + 63) / 64 * 64;
    }
    // Kernels prefetch a little beyond a tile; the slack keeps that inside the block.
    model_.weights = compute::AlignedBuffer(total + 4096);
    model_.weight_bytes = total;
    for (size_t i = 0; i < jobs_.size(); ++i)
      jobs_[i].out->data = model_.weights.data() + offsets[i];
    return {};
  }

  Status pack(const Job& job, const TensorView& view) {
    const PackedMatrix& m = *job.out;
    const bool convert = m.type != view.type;
    const size_t stored_bytes = dtype_bytes(view.type, static_cast<size_t>(m.columns));
    const size_t row_bytes = dtype_bytes(m.type, static_cast<size_t>(m.columns));
    const int64_t head_rows = job.reorder_heads > 0 ? job.rows / job.reorder_heads : 0;
    std::atomic<bool> finite{true};
    pool_.run([&](int thread) {
      std::vector<float> values(convert ? static_cast<size_t>(m.columns) : 0);
      std::vector<uint8_t> converted(convert ? row_bytes * kTileRows : 0);
      const Range range = split_range(m.tiles(), pool_.threads(), thread);
      for (int64_t t = range.begin; t < range.end; ++t) {
        const uint8_t* rows[kTileRows];
        bool fine = true;
        for (int lane = 0; lane < kTileRows; ++lane) {
          const int64_t row = t * kTileRows + lane;
          rows[lane] = nullptr;
          if (row >= m.rows) continue;
          const int64_t from =
              head_rows > 0 ? half_split_source(row, head_rows, model_.spec.rope.dim) : row;
          rows[lane] = view.data + static_cast<size_t>(from) * stored_bytes;
          if (!convert) continue;
          dequantise(view.type, rows[lane], values.data(), values.size());
          uint8_t* out = converted.data() + static_cast<size_t>(lane) * row_bytes;
          fine &= quantise(m.type, values.data(), out, values.size());
          rows[lane] = out;
        }
        uint8_t* out = const_cast<uint8_t*>(m.data) + static_cast<size_t>(t) * m.tile_bytes();
        fine = compute::pack_tile(m.type, rows, m.columns, out) && fine;
        if (!fine) finite.store(false, std::memory_order_relaxed);
      }
    });
    if (!finite)
      return fail("{}: tensor {}: a value or scale is not finite", file_.name(), view.name);
    return {};
  }

  WeightFile& file_;
  const LoadOptions& options_;
  ThreadPool& pool_;
  Model& model_;
  std::vector<Job> jobs_;
  std::vector<const TensorView*> views_;
};

}  // namespace

bool Model::all_float32() const {
  const auto is = [](const PackedMatrix& m) { return m.type == DType::kF32; };
  for (const Layer& l : layers)
    if (!is(l.q) || !is(l.k) || !is(l.v) || !is(l.o) || !is(l.gate) || !is(l.up) || !is(l.down))
      return false;
  return is(embedding) && is(output_head());
}

Result<std::unique_ptr<Model>> load_model(const std::filesystem::path& path,
                                          const LoadOptions& options, ThreadPool& pool) {
  DSPARK_TRY(WeightFile file, WeightFile::open(path));
  auto model = std::make_unique<Model>();
  model->spec = file.spec();
  DSPARK_RETURN_IF_ERROR(Loader(file, options, pool, *model).load());
  model->rope_inv_freq = rope_frequencies(model->spec.rope, &model->rope_amplitude);
  return model;
}

}  // namespace dspark::model

#include "model/packer.h"

#include <atomic>
#include <cmath>

namespace dspark::model {

using compute::kTileRows;
using compute::PackedMatrix;

int64_t half_split_source(int64_t row, int64_t head_rows, int64_t rotated) {
  const int64_t head = row / head_rows, within = row % head_rows, pairs = rotated / 2;
  if (within >= rotated) return row;
  return head * head_rows + (within < pairs ? 2 * within : 2 * (within - pairs) + 1);
}

Status Packer::add(const TensorView& view, std::optional<DType> wanted, PackedMatrix* out,
                   RowOrder order) {
  const DType type = wanted.value_or(view.type);
  if (view.columns() % dtype_info(type).block_values != 0 ||
      (!compute::is_float_type(type) && view.columns() % compute::kGroup != 0))
    return fail("{}: tensor {}: rows of {} values cannot be {} (blocks of {})", source_->name(),
                view.name, view.columns(), dtype_info(type).name, dtype_info(type).block_values);
  const int64_t rows =
      order.picked.empty() ? view.rows() : static_cast<int64_t>(order.picked.size());
  *out = {type, rows, view.columns(), nullptr};
  jobs_.push_back({&view, out, order, bytes_});
  bytes_ += (out->bytes() + 63) / 64 * 64;
  return {};
}

Status Packer::pack(ThreadPool& pool, const LoadProgress& progress,
                    compute::AlignedBuffer* memory) {
  // Kernels prefetch beyond a tile; the slack keeps that inside the block.
  *memory = compute::AlignedBuffer(bytes_ + (16 << 10));
  size_t done = 0;
  for (const Job& job : jobs_) {
    job.out->data = memory->data() + job.offset;
    DSPARK_RETURN_IF_ERROR(pack_one(job, pool));
    source_->release(*job.view);
    done += job.out->bytes();
    if (progress) progress(done, bytes_);
  }
  return {};
}

Status Packer::pack_one(const Job& job, ThreadPool& pool) const {
  const TensorView& view = *job.view;
  const PackedMatrix& m = *job.out;
  const bool convert = m.type != view.type;
  const size_t stored_bytes = dtype_bytes(view.type, static_cast<size_t>(m.columns));
  const size_t row_bytes = dtype_bytes(m.type, static_cast<size_t>(m.columns));
  const int64_t head_rows = job.order.heads > 0 ? m.rows / job.order.heads : 0;
  std::atomic<bool> finite{true};
  pool.run([&](int thread) {
    std::vector<float> values(convert ? static_cast<size_t>(m.columns) : 0);
    std::vector<uint8_t> converted(convert ? row_bytes * kTileRows : 0);
    const Range range = split_range(m.tiles(), pool.threads(), thread);
    for (int64_t t = range.begin; t < range.end; ++t) {
      const uint8_t* rows[kTileRows];
      bool fine = true;
      for (int lane = 0; lane < kTileRows; ++lane) {
        const int64_t row = t * kTileRows + lane;
        rows[lane] = nullptr;
        if (row >= m.rows) continue;
        const int64_t from = !job.order.picked.empty() ? job.order.picked[static_cast<size_t>(row)]
                             : head_rows > 0 ? half_split_source(row, head_rows, job.order.rotated)
                                             : row;
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
    return fail("{}: tensor {}: a value or scale is not finite", source_->name(), view.name);
  return {};
}

Result<std::vector<float>> read_vector(const TensorSource& source, const TensorView& view,
                                       RowOrder order) {
  if (is_quantised(view.type))
    return fail("{}: tensor {}: expected a float type", source.name(), view.name);
  const int64_t n = view.values();
  std::vector<float> stored(static_cast<size_t>(n));
  dequantise(view.type, view.data, stored.data(), stored.size());
  for (const float v : stored)
    if (!std::isfinite(v))
      return fail("{}: tensor {}: a value is not finite", source.name(), view.name);
  std::vector<float> out(static_cast<size_t>((n + kTileRows - 1) / kTileRows * kTileRows), 0);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t from = order.heads > 0 ? half_split_source(i, n / order.heads, order.rotated) : i;
    out[static_cast<size_t>(i)] = stored[static_cast<size_t>(from)];
  }
  return out;
}

}  // namespace dspark::model

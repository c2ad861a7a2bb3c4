// Rows of a planned tensor in the type that it is to have.
#include <algorithm>
#include <atomic>

#include "draft/write_plan.h"

namespace dspark::draft {

Status convert_rows(const DrafterFile& drafter, const PlannedTensor& tensor, int64_t begin,
                    int64_t end, ThreadPool& pool, uint8_t* out) {
  const size_t row_bytes = tensor.row_bytes();
  const auto columns = static_cast<size_t>(tensor.columns());
  std::atomic<bool> fits{true};
  pool.run([&](int thread) {
    const Range range = split_range(end - begin, pool.threads(), thread);
    std::vector<float> values(columns);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const RowRef& from = tensor.rows[static_cast<size_t>(begin + i)];
      uint8_t* to = out + static_cast<size_t>(i) * row_bytes;
      if (from.tensor == nullptr) {
        std::fill(values.begin(), values.end(), 0.0f);
      } else {
        const uint8_t* stored = from.tensor->data + static_cast<size_t>(from.row) *
                                                        dtype_bytes(from.tensor->type, columns);
        if (from.tensor->type == tensor.type) {
          std::copy_n(stored, row_bytes, to);
          continue;
        }
        dequantise(from.tensor->type, stored, values.data(), columns);
      }
      if (!quantise(tensor.type, values.data(), to, columns)) fits = false;
    }
  });
  if (!fits)
    return fail("{}: tensor {}: a value is not finite, or too large for {}", drafter.config().name,
                tensor.name, dtype_info(tensor.type).name);
  return {};
}

}  // namespace dspark::draft

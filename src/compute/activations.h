// The inputs of a matrix product, as the kernels read them: in blocks of up to 16 rows, the rows of
// a block side by side. Quantised for quantised weights, floats for float weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/aligned_buffer.h"

namespace dspark::compute {

inline constexpr int kBlockRows = 16;

// 32 columns of a row: x = scale * q. The sums serve minima and constant offsets of weight formats.
struct ActivationGroup {
  int8_t q[32];
  float scale;
  float sum;            // scale * sum of q: what a minimum is multiplied by
  int32_t neg_sum;      // -(sum of q)
  int32_t neg_sum_low;  // -(sum of the first 16 q)
};
static_assert(sizeof(ActivationGroup) == 48);

// What a kernel sees of Activations. Plain data: kernel files share no inline function.
struct ActivationView {
  const ActivationGroup*
      groups;           // blocks of [columns / 32][rows of the block], one after the other
  const float* floats;  // blocks of [columns][rows of the block]
  int rows;
  int64_t columns;
};

class Activations {
 public:
  Activations() = default;
  // Room for max_rows rows of at most max_columns columns.
  Activations(int max_rows, int64_t max_columns);

  // Sets the shape; what was there is void. No allocation.
  void reshape(int rows, int64_t columns);
  int rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int block_rows(int block) const {
    const int left = rows_ - block * kBlockRows;
    return left < kBlockRows ? left : kBlockRows;
  }

  ActivationView view() const {
    return {quantised_.as<ActivationGroup>(), floats_.as<float>(), rows_, columns_};
  }

  // Group g of a row; the row's next group is group_stride(row) further on.
  ActivationGroup* group(int row, int64_t g) {
    const int block = row / kBlockRows;
    return quantised_.as<ActivationGroup>() + block * kBlockRows * (columns_ / 32) +
           g * block_rows(block) + row % kBlockRows;
  }
  int64_t group_stride(int row) const { return block_rows(row / kBlockRows); }

  // Columns [begin, end) of one row from plain floats x (x[0] is column `begin`). False when a
  // value is not finite.
  bool set_floats(int row, int64_t begin, int64_t end, const float* x);

 private:
  int rows_ = 0;
  int64_t columns_ = 0;
  AlignedBuffer quantised_, floats_;
};

}  // namespace dspark::compute

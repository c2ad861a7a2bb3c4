// Private to the drafters' writers: what goes into a file, tensor by tensor and row by row.
#pragma once

#include <vector>

#include "draft/drafter_write.h"
#include "draft/tensor_table.h"

namespace dspark::draft {

struct RowRef {
  const TensorView* tensor = nullptr;  // nullptr: a row of zeros
  int64_t row = 0;
};

struct PlannedTensor {
  std::string name;  // as the form calls it
  DType type;
  std::vector<int64_t> shape;
  std::vector<RowRef> rows;

  int64_t columns() const { return shape.back(); }
  size_t row_bytes() const { return dtype_bytes(type, static_cast<size_t>(columns())); }
  size_t bytes() const { return rows.size() * row_bytes(); }
};

struct WritePlan {
  DrafterConfig config;  // as the file will say
  std::vector<PlannedTensor> tensors;
  WriteReport report;
  size_t bytes() const;
};

// What the layout can't hold is an error.
Result<WritePlan> plan_write(const DrafterFile& drafter, const WriteOptions& options);

// Rows [begin, end) of a planned tensor, in its type, to out. An error when a value does not fit.
Status convert_rows(const DrafterFile& drafter, const PlannedTensor& tensor, int64_t begin,
                    int64_t end, ThreadPool& pool, uint8_t* out);

}  // namespace dspark::draft

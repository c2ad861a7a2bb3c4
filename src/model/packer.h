// From stored tensors to packed matrices: collects what to pack, gives all of it one block of
// memory, and packs on the engine's threads.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/base.h"
#include "compute/compute.h"
#include "tensor/tensor.h"

namespace dspark::model {

// Where the tensors of a Packer come from.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual const std::string& name() const = 0;  // the file, for messages
  // Tells that the tensor has been read.
  virtual void release(const TensorView& tensor) const = 0;
};

// Which stored row becomes which packed one.
struct RowOrder {
  // Heads whose rotary pairs are stored as (2i, 2i + 1) and packed as (i, i + rotated / 2); 0:
  // none.
  int heads = 0;
  int rotated = 0;
  std::span<const int32_t> picked = {};  // packed row i is stored row picked[i]; empty: all rows
};
// Source row of output row `row` of heads of head_rows rows.
int64_t half_split_source(int64_t row, int64_t head_rows, int64_t rotated);

using LoadProgress = std::function<void(size_t done_bytes, size_t total_bytes)>;

class Packer {
 public:
  explicit Packer(const TensorSource& source) : source_(&source) {}

  // Notes a matrix [rows, columns] to be packed as `type` (its own where empty) into *out, which
  // stays where it is until pack() is done. An error when the type can't hold such rows.
  Status add(const TensorView& view, std::optional<DType> type, compute::PackedMatrix* out,
             RowOrder order = {});

  // Places and packs all matrices. memory: the block that they lie in. progress may be empty.
  Status pack(ThreadPool& pool, const LoadProgress& progress, compute::AlignedBuffer* memory);

  size_t bytes() const { return bytes_; }  // of the packed matrices

 private:
  struct Job {
    const TensorView* view;
    compute::PackedMatrix* out;
    RowOrder order;
    size_t offset;
  };
  Status pack_one(const Job& job, ThreadPool& pool) const;

  const TensorSource* source_;
  std::vector<Job> jobs_;
  size_t bytes_ = 0;
};

// A vector of n finite floats, padded with zeros to whole tiles.
Result<std::vector<float>> read_vector(const TensorSource& source, const TensorView& view,
                                       RowOrder order = {});

}  // namespace dspark::model

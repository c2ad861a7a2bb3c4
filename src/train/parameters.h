// A drafter's tensors as libtorch has them, under DeepSpec's names (spec A.3).
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "draft/draft.h"

namespace dspark::train {

class Parameters {
 public:
  // Every tensor of the config but embedding and head: matrices and tables from N(0, 0.02), biases
  // 0, norm weights and layer scales 1. Drawn from `seed`, tensor by tensor.
  static Parameters fresh(const draft::DrafterConfig& config, uint64_t seed);
  // Those of a checkpoint, widened to float32.
  static Result<Parameters> of(const draft::DrafterFile& file);

  const std::vector<std::string>& names() const { return names_; }  // trained ones, in table order
  bool has(const std::string& name) const { return tensors_.contains(name); }
  const torch::Tensor& operator[](const std::string& name) const;
  std::vector<torch::Tensor> trained() const;
  int64_t trained_values() const;
  // The same values in the same memory, with gradients of their own.
  Parameters sharing_values() const;
  // Copies values into the tensor of that name.
  void set(const std::string& name, const torch::Tensor& values);
  void set_trained();  // gradients are wanted of the trained ones

 private:
  void add(const std::string& name, torch::Tensor values);
  std::vector<std::string> names_;
  std::map<std::string, torch::Tensor> tensors_;
};

// A tensor view's values as float32.
torch::Tensor to_tensor(const TensorView& view);

// The target's embedding and output head, never trained (spec D.4).
struct FrozenTables {
  torch::Tensor embedding;  // [vocab, hidden], the family's scale applied
  torch::Tensor head;       // [draft vocab, hidden]
};
// From a checkpoint that stores them, else from the target's file.
Result<FrozenTables> frozen_tables(const draft::DrafterFile& file);
Result<FrozenTables> frozen_tables(const draft::DrafterConfig& config,
                                   const std::filesystem::path& target);

}  // namespace dspark::train

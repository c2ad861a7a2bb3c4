// The processes of a run, started by any launcher: torchrun's environment variables (RANK,
// WORLD_SIZE, MASTER_ADDR, MASTER_PORT), Slurm's or an MPI's. Alone where none are set.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "base/base.h"

namespace dspark::train {

class Group {
 public:
  static Result<Group> join();
  static Group alone();
  Group(Group&&) noexcept;
  ~Group();

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool leads() const { return rank_ == 0; }
  double sum(double value);                             // over all processes
  void sum(const std::vector<torch::Tensor>& tensors);  // in place; undefined ones are skipped
  void wait();                                          // for all processes

 private:
  struct Link;
  Group(int rank, int size, std::unique_ptr<Link> link);
  int rank_, size_;
  std::unique_ptr<Link> link_;  // null alone
};

}  // namespace dspark::train

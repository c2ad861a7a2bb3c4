// Micro-batches of a step learnt at the same time, each on threads of its own: products of one
// micro-batch alone leave the other threads waiting at their ends.
#pragma once

#include "train/task.h"

namespace dspark::train {

struct MicroBatch {
  std::vector<Sample> samples;
  uint64_t visit = 0;  // of the first sample
};

class Learners {
 public:
  // count: how many micro-batches are learnt at once; threads: of all together. config, parameters
  // and tables outlive it.
  Learners(const Recipe& recipe, const draft::DrafterConfig& config, const Parameters& parameters,
           const FrozenTables& tables, Precision precision, int count, int threads);
  ~Learners();

  int count() const { return static_cast<int>(learners_.size()); }
  std::unique_ptr<Metrics> new_metrics() const;
  // Adds the gradients of up to count() micro-batches' losses, times scale, to the parameters', and
  // the metrics, in the micro-batches' order whichever is done first.
  void learn(std::span<const MicroBatch> batches, double scale, Group& group, Metrics& metrics);
  // The metrics of samples, each by itself.
  void measure(std::span<const Sample> samples, Metrics& metrics);

 private:
  struct Learner;
  // act(learner, index) of the first `parts` learners, at the same time.
  template <class Act>
  void each(size_t parts, Act act);

  const Parameters& parameters_;
  std::vector<std::unique_ptr<Learner>> learners_;
  int threads_;
};

}  // namespace dspark::train

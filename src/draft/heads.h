// Private to the room draft: the light sequential heads of a block drafter (spec B.3, B.4).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "draft/drafter.h"

namespace dspark::draft {

// Goes through the slots of one block from left to right. One of these a thread; no allocation
// after construction.
class SequentialHeads {
 public:
  SequentialHeads(const DrafterModel& model, const compute::Kernels& kernels);

  void start();  // of a block: the recurrent state is 0

  // Takes in slot's output h [hidden] and the token before the slot (the anchor, then drafts).
  void step(const float* h, int32_t previous);

  // After step(): the confidence logit; and the Markov bias of the logits at some indices of the
  // draft vocabulary (empty: all, in order), added to logits.
  float confidence_logit() const { return confidence_; }
  // Has the rows of these indices fetched, which lie anywhere in a matrix that every step of the
  // target drives out of the caches.
  void ask_for(std::span<const int32_t> indices) const;
  void correct(std::span<const int32_t> indices, std::span<float> logits) const;

 private:
  float dot(const DrafterModel::Dense& matrix, int64_t row) const;

  const DrafterModel& model_;
  const compute::Kernels& kernels_;
  int64_t hidden_, rank_;
  std::vector<float> embedding_;  // e: w1[previous], whole tiles
  std::vector<float> state_;      // [rank], rnn
  std::vector<float> input_;      // of the gate or joint projection, or of the confidence head
  std::vector<float> factor_;     // [rank]: what w2 is multiplied with
  float confidence_ = 0;
};

}  // namespace dspark::draft

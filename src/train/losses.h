// Losses of block drafters (spec D.4), and what training logs (D.8).
#pragma once

#include <torch/types.h>

#include <vector>

#include "train/block_net.h"

namespace dspark::train {

struct LossWeights {
  double ce = 0.1, l1 = 0.9, confidence = 1;  // DeepSpec's of DSpark; DFlash: 1, 0, 0
  double soft_ce = 0;                         // not DeepSpec's
  double decay = 4;                           // slot j weighs exp(-j / decay)
};

// Of each slot, with gradients to the logits.
struct SlotLosses {
  torch::Tensor ce;  // -log of the label's probability; 0 where the label is -1
  torch::Tensor l1;  // sum over the whole vocabulary of |p_draft - p_target|
  // -sum of p_target log p_draft over the draft vocabulary: what ce is on average over labels drawn
  // from the target, without their noise.
  torch::Tensor soft_ce;
};
// logits: [slots, draft vocab]; labels: [slots]; target: [rows, draft vocab] probabilities, whose
// missing mass lies on tokens that are never drafted; target_rows: [slots]. One pass over the
// logits forward and one back.
SlotLosses slot_losses(const torch::Tensor& logits, const torch::Tensor& labels,
                       const torch::Tensor& target, const torch::Tensor& target_rows);

// Sums of a batch: losses are num / (den + 1e-6) over all batches of a micro-step.
struct BlockSums {
  torch::Tensor ce, soft_ce, l1, confidence;  // weighted sums, with gradients
  double weight = 0;                          // sum of weights
  torch::Tensor slot_ce, overlap;  // [blocks, slots] of each slot: cross-entropy, 1 - L1 / 2
};
BlockSums block_sums(const BlockOutput& output, const BlockBatch& batch,
                     const torch::Tensor& target, double decay);

// The sums by their weights over a denominator: what backward() is called on.
torch::Tensor total_loss(const BlockSums& sums, const LossWeights& weights, double denominator);

// Metrics summed over batches.
class BlockMetrics {
 public:
  explicit BlockMetrics(int slots);
  void add(const BlockSums& sums, const BlockOutput& output, const BlockBatch& batch,
           const torch::Tensor& target, double decay);
  void add(const BlockMetrics& other);  // of as many slots

  double ce() const { return ratio(ce_, weight_); }
  double l1() const { return ratio(l1_, weight_); }
  double soft_ce() const { return ratio(soft_ce_, weight_); }
  double confidence() const { return ratio(confidence_, weight_); }
  double loss(const LossWeights& weights) const;
  // Mean overlap of target's and draft's distribution at slot j, and how often their most likely
  // tokens are the same, of supervised slots.
  double accept_rate(int j) const { return ratio(overlap_[index(j)], supervised_[index(j)]); }
  double top1(int j) const { return ratio(agree_[index(j)], supervised_[index(j)]); }
  // 1 + the expected accepted drafts of a block that is true so far: from overlaps (rejection at
  // temperature 1), and from agreement (greedy).
  double tau() const { return ratio(tau_, blocks_); }
  double tau_greedy() const { return ratio(tau_greedy_, blocks_); }
  // Confidence against overlap, by the losses' weights.
  double confidence_abs_error() const { return ratio(abs_error_, weight_); }
  double confidence_bias() const { return ratio(bias_, weight_); }
  double confidence_cumprod_bias() const { return ratio(cumprod_bias_, weight_); }
  // Supervised slots of a block, on average over blocks and then over sequences.
  double slots_a_block() const { return ratio(slots_a_block_, sequences_); }
  double positions() const { return positions_; }  // supervised slots
  double blocks() const { return blocks_; }        // with a supervised slot
  int slots() const { return static_cast<int>(overlap_.size()); }

 private:
  static double ratio(double num, double den) { return den > 0 ? num / (den + 1e-6) : 0; }
  static size_t index(int j) { return static_cast<size_t>(j); }
  double ce_ = 0, soft_ce_ = 0, l1_ = 0, confidence_ = 0, weight_ = 0;
  double tau_ = 0, tau_greedy_ = 0, blocks_ = 0, positions_ = 0;
  double abs_error_ = 0, bias_ = 0, cumprod_bias_ = 0, slots_a_block_ = 0, sequences_ = 0;
  std::vector<double> overlap_, agree_, supervised_;
};

}  // namespace dspark::train

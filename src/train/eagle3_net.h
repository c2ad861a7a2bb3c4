// Eagle3 for training: a sequence's rows drafted step by step from their own outputs (spec B.6,
// D.5).
#pragma once

#include "train/blocks.h"
#include "train/decoder.h"

namespace dspark::train {

struct ChainStep {
  torch::Tensor logits;  // [tokens, draft vocab]: row i says token i + 2 + s
  // The loss counts row i by mask[i] (0 or 1) against the target's row i + 1 + s, and so [tokens]
  // rows of the target, clamped to the last.
  torch::Tensor mask, target_rows;
};

class Eagle3Net {
 public:
  Eagle3Net(const draft::DrafterConfig& config, const Parameters& parameters,
            const FrozenTables& tables, Precision precision);
  // All ttt_length steps of a sequence.
  std::vector<ChainStep> forward(const Sample& sample) const;
  torch::Tensor target_probabilities(const Sample& sample) const;  // [tokens, draft vocab]

 private:
  const draft::DrafterConfig& config_;
  const Parameters& parameters_;
  const FrozenTables& tables_;
  Decoder decoder_;
};

// Sums of a sequence. A step's loss is its sum over the positions of the micro-step, prompt and
// padding included (spec D.5); the total weighs step s by decay^s.
struct ChainSums {
  std::vector<torch::Tensor> soft_ce;           // by step, with gradients
  std::vector<double> counted, agree, overlap;  // by step
};
ChainSums chain_sums(const std::vector<ChainStep>& steps, const torch::Tensor& target);
torch::Tensor total_loss(const ChainSums& sums, double decay, double positions);

}  // namespace dspark::train

// DSpark and DFlash for training: all blocks of a batch in one forward pass (spec B.2 to B.5).
#pragma once

#include "train/blocks.h"
#include "train/decoder.h"

namespace dspark::train {

struct BlockOutput {
  torch::Tensor hidden;      // [blocks, slots, hidden]: behind the last norm
  torch::Tensor logits;      // [blocks * slots, draft vocab], Markov bias added
  torch::Tensor confidence;  // [blocks, slots] logits; undefined without the head
};

class BlockNet {
 public:
  BlockNet(const draft::DrafterConfig& config, const Parameters& parameters,
           const FrozenTables& tables, Precision precision);

  BlockOutput forward(const BlockBatch& batch) const;
  // The target's probabilities of the draft vocabulary's tokens, [rows, draft vocab]; of the whole
  // vocabulary they sum to 1.
  torch::Tensor target_probabilities(const BlockBatch& batch) const;

 private:
  torch::Tensor backbone(const BlockBatch& batch) const;  // [blocks, inputs, hidden]
  torch::Tensor attend(const Part& part, const BlockBatch& batch, const torch::Tensor& queries,
                       const KeysValues& context, const KeysValues& block) const;
  // The Markov head's bias, [blocks * slots, draft vocab]; e: [blocks, slots, rank].
  torch::Tensor bias(const torch::Tensor& hidden, const torch::Tensor& e) const;
  torch::Tensor rnn_factors(const torch::Tensor& hidden, const torch::Tensor& e) const;

  const draft::DrafterConfig& config_;
  const Parameters& parameters_;
  const FrozenTables& tables_;
  Decoder decoder_;
};

}  // namespace dspark::train

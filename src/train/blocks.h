// Training blocks: anchors of sequences, and what their slots see and should say (spec D.3).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "draft/draft.h"

namespace dspark::train {

// A sequence with what the target made of it.
struct Sample {
  std::vector<int32_t> ids;                     // [tokens]
  std::vector<uint8_t> loss_mask;               // [tokens]
  torch::Tensor features = torch::Tensor();     // [tokens, taps * hidden]: tapped layers' outputs
  torch::Tensor last_hidden = torch::Tensor();  // [tokens, hidden]: what the target's head reads
  // [tokens]: log of the sum of exponentials of all of the target's logits; empty: the head of the
  // draft vocabulary is the whole head.
  torch::Tensor log_sum = torch::Tensor();

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

// Rows of the draft vocabulary by token, -1 outside it.
std::vector<int64_t> draft_rows(const draft::DrafterConfig& config);

// Positions that may be anchors: supervised themselves and before a supervised token.
std::vector<int64_t> valid_anchors(std::span<const uint8_t> loss_mask);
// Up to `most` of them, uniformly without replacement, ascending; a function of seed and index.
std::vector<int64_t> draw_anchors(const std::vector<int64_t>& valid, int64_t most, uint64_t seed,
                                  uint64_t index);

// Rows of one sequence in a batch.
struct Part {
  int64_t first_context, context_rows, first_block, blocks;
};

// Blocks of several sequences, one after the other; nothing is padded.
struct BlockBatch {
  std::vector<Part> parts;
  torch::Tensor features;           // [context rows, taps * hidden]
  torch::Tensor context_positions;  // [context rows]
  torch::Tensor anchors;            // [blocks]: positions
  torch::Tensor tokens;             // [blocks, inputs]: the anchor's token, then masks
  torch::Tensor previous;           // [blocks, slots]: the true token before the slot's
  torch::Tensor labels;             // [blocks, slots]: rows of the draft vocabulary, -1 outside it
  torch::Tensor valid;              // [blocks, slots]: 1 where supervised, a prefix of each block
  torch::Tensor target_rows;        // [blocks, slots]: rows of target_hidden
  torch::Tensor target_hidden;      // [rows, hidden]
  torch::Tensor target_log_sum;     // [rows] or empty, as Sample's

  int64_t blocks() const { return anchors.size(0); }
  int64_t supervised() const { return valid.sum().item<int64_t>(); }
};

class BlockMaker {
 public:
  explicit BlockMaker(const draft::DrafterConfig& config);
  // samples and their anchors, in the same order; a sample without anchors adds nothing.
  BlockBatch make(std::span<const Sample* const> samples,
                  std::span<const std::vector<int64_t>> anchors) const;

 private:
  const draft::DrafterConfig& config_;
  std::vector<int64_t> row_of_token_;  // [vocab]: in the draft vocabulary, -1 outside
};

}  // namespace dspark::train

// Private to the room draft: from a slot's logits over the draft vocabulary to its draft.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"

namespace dspark::draft {

// The k largest logits' indices, ascending; ties go to the smaller index. All where there are no
// more than k. False when a logit is NaN. logits: [n]
class TopCandidates {
 public:
  bool select(std::span<const float> logits, int k, std::vector<int32_t>& indices);

 private:
  std::vector<float> block_largest_;  // of each 64 logits
  std::vector<float> thresholds_;
  std::vector<uint64_t> kept_;
};

// The candidates of one slot: draft-vocabulary indices and their logits, which heads correct, then
// the draft. One of these a thread; nothing is allocated once it has seen a row of every size.
class SlotRow {
 public:
  explicit SlotRow(const DrafterConfig& config) : config_(config) {}

  // Takes the candidates of a slot's base logits. drawn: at a temperature, where the tail counts,
  // so that they are kDrawnFactor times as many. False when one is not a number.
  bool start(std::span<const float> base, bool drawn);
  // [candidates]: indices into the draft vocabulary (empty: all of it, in order), and logits.
  std::span<const int32_t> indices() const { return indices_; }
  std::span<float> logits() { return logits_; }
  // Draws the draft of slot `slot` of the request and appends it to its block; under a grammar that
  // allows none of the candidates, from the base logits, which must still be there. False: the
  // block ends before it, since nothing of the draft vocabulary may come there, which the drafts
  // before the slot decide.
  Result<bool> draw(const BlockRequest& request, int slot);
  // Of the slot that draw() drew, as Block::certainty says.
  float certainty() const { return certainty_; }

 private:
  // Log-odds of the most likely of logits(): it less the log-sum of the others' exponentials; 0
  // where there are no others.
  float log_odds() const;
  void list_ids();

  const DrafterConfig& config_;
  TopCandidates top_;
  std::span<const float> base_;
  std::vector<int32_t> indices_, ids_;  // ids_ empty: the logits are by token id
  std::vector<float> logits_;
  float certainty_ = 0;
};

// Drafts that later slots take as committed; taken back at the end.
class AssumedDrafts {
 public:
  explicit AssumedDrafts(sample::Sampler& sampler, const std::vector<int32_t>& drafts)
      : sampler_(sampler), drafts_(drafts) {}
  AssumedDrafts(const AssumedDrafts&) = delete;
  ~AssumedDrafts() {
    while (count_ > 0) sampler_.pop(drafts_[--count_]);
  }
  void push_next() { sampler_.push(drafts_[count_++]); }

 private:
  sample::Sampler& sampler_;
  const std::vector<int32_t>& drafts_;
  size_t count_ = 0;
};

}  // namespace dspark::draft

// Acceptance: from the target's rows over a cycle's drafts to the tokens that the cycle commits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sample/sample.h"
#include "verify/mode.h"

namespace dspark::verify {

// q of a slot: the distribution from which its draft was drawn, after everything that was done to
// it (penalties, temperature, filters, grammar). Sums to 1 within 1e-6.
struct DraftDistribution {
  std::span<const int32_t> ids;  // distinct, in any order; empty: probs[v] is token v's
  std::span<const float> probs;  // [ids], or [vocab] without ids; tokens without a place have 0
};

// A cycle of one request. Row i is the target's logits after the anchor and i drafts. Drafts that
// were made and not verified are not part of it.
struct CycleInput {
  int64_t anchor;                                          // the anchor's absolute position
  std::span<const int32_t> drafts;                         // [n]; n may be 0
  std::span<const std::span<const float>> rows;            // [n + 1][vocab]
  std::span<const DraftDistribution> draft_distributions;  // [n]; not used by greedy and coupled
  std::span<const int32_t> stop_ids;                       // tokens that end the request; few
};

// The variates that rejection and block verification consume.
struct Uniforms {
  std::span<const double> accept;  // [n], each in [0, 1)
  double next;                     // in [0, 1): draws the next token
};

// What a cycle commits: the first `accepted` drafts, then `next`.
struct Verdict {
  int accepted = 0;
  int32_t next = -1;  // corrected or bonus token; -1 when the last accepted draft is a stop token
  bool stopped = false;  // the last token committed is a stop token
};

// Verifies cycles of requests, one at a time. Buffers are reused: a verifier belongs to one thread.
class Verifier {
 public:
  Verifier(Mode mode, int32_t vocab_size);

  // sampler: the request's, with every token up to the anchor pushed; afterwards as before, so the
  // caller pushes what is committed. p of row i is the sampler's with drafts 1..i pushed. Variates
  // are sample::uniform of its seed. A draft of probability 0 is a rejection at its slot.
  //
  // Rows are read in order and, but for block, none after the token that ends the cycle; none after
  // a draft that is a stop token or has probability 0 in any mode. A row that is read and has no
  // distribution (NaN, all ruled out) is an error of the request.
  //
  // Greedy and coupled: the draft must equal Sampler::choose of its row. Rejection: spec C.4.
  // Block: spec F; drafts after a stop token count as not drafted, which is a stopping time.
  Result<Verdict> verify(const CycleInput& cycle, sample::Sampler& sampler);
  // The same with the variates given.
  Result<Verdict> verify(const CycleInput& cycle, const Uniforms& uniforms,
                         sample::Sampler& sampler);

  // Of the last cycle under rejection and block. Slot i was accepted by its variate being below
  // thresholds()[i] (block: the last such slot counts, with all before it); slots that were not
  // looked at have none, and would have 0. next_weights(): [vocab], what the next token was drawn
  // from, not normalised; not meaningful after an accepted stop.
  std::span<const double> thresholds() const { return thresholds_; }
  std::span<const float> next_weights() const { return next_; }

  Mode mode() const { return mode_; }

 private:
  class Assumed;
  Result<Verdict> by_choice(const CycleInput& cycle, sample::Sampler& sampler);
  Result<Verdict> by_rejection(const CycleInput& cycle, const Uniforms& uniforms,
                               sample::Sampler& sampler);
  Result<Verdict> by_block(const CycleInput& cycle, const Uniforms& uniforms,
                           sample::Sampler& sampler);
  Verdict finish(const CycleInput& cycle, int accepted, double variate) const;

  Mode mode_;
  int32_t vocab_size_;
  std::vector<float> p_, residual_, next_;  // [vocab]; only where distributions are needed
  std::vector<double> thresholds_;          // [n]
  std::vector<double> accept_;              // [n]
};

}  // namespace dspark::verify

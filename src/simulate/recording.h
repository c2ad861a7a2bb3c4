// Answers whose drafts were all verified: what was thought of each slot, and what became of it. How
// a cycle would have gone at any shorter verify length follows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "verify/verify.h"

namespace dspark::simulate {

// A cycle at full length: of its first `slots` slots (those whose outcome is known) the first
// `accepted` stood.
struct Cycle {
  int slots = 0, accepted = 0;
  bool looked_up = false;  // its drafts cost nothing
  size_t first = 0;        // its first slot's place in Recording's lists
};

struct Answer {
  int tokens = 0;  // >= 1
  std::vector<Cycle> cycles = {};
};

class Recording {
 public:
  void begin_answer(int tokens);
  // A cycle of the answer begun last. confidence: [slots], calibrated.
  void add(std::span<const double> confidence, int accepted, bool looked_up = false);
  // Leaves out answers without a cycle. An error where nothing is left.
  Status finish();

  const std::vector<Answer>& answers() const { return answers_; }
  int slots() const { return slots_; }  // most of a cycle
  int64_t cycles() const { return cycles_; }
  double tau() const;  // at full length
  std::span<const double> confidence(const Cycle& cycle) const;
  std::span<const double> survival(const Cycle& cycle) const;
  // How true survival is, as eval scores it.
  verify::ConfidenceQuality quality() const;

 private:
  std::vector<Answer> answers_;
  std::vector<double> confidence_, survival_;  // all cycles' slots in turn
  int slots_ = 0;
  int64_t cycles_ = 0;
};

// Requests of one kind, without a recording.
struct Kind {
  // [slots]: the mean chance of a slot, given that those before it stood, in (0, 1).
  std::vector<double> acceptance;
};

// A simple model in place of a recording. A slot's chance c is drawn from the Beta distribution of
// mean `acceptance` and variance spread * mean * (1 - mean), slots alike and apart; the confidence
// is c itself, and the slot stands with chance c: confidences are calibrated by construction.
// spread 0: every confidence is the mean; the nearer to 1, the more the drafter knows.
struct Synthetic {
  std::vector<Kind> kinds = {};  // as many answers of each
  double spread = 0;             // in [0, kMostSpread]
  int tokens = 256;              // of an answer
  uint64_t seed = 0;
};
inline constexpr double kMostSpread = 0.95;
Recording synthetic(const Synthetic& spec);

// Accept length of blocks of `acceptance` at a verify length: 1 + the sum of products.
double expected_tau(std::span<const double> acceptance, int length);

}  // namespace dspark::simulate

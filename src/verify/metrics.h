// Figures of merit: how many drafts are accepted (spec C.6), and how true confidences are (E.2).
// Pooled over all cycles that were added, never averaged over requests.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "verify/acceptance.h"
#include "verify/bins.h"

namespace dspark::verify {

class AcceptanceMetrics {
 public:
  // A cycle of n verified drafts. After an accepted stop token, the drafts behind it count as not
  // proposed.
  void add(int verified, const Verdict& verdict);
  // The same by numbers: committed = accepted, + 1 with a next token; proposed <= verified.
  void add(int committed, int proposed, int accepted);

  int64_t cycles() const { return cycles_; }
  double accept_length() const;    // tau: committed tokens a cycle; 0 without cycles, as all three
  double proposed_length() const;  // drafts a cycle: "#propose"
  double verify_rate() const;      // committed tokens / target rows
  // Share of the cycles that proposed more than k drafts that accepted more than k: prefix
  // survival, k from 0. Undefined where none proposed as many.
  std::optional<double> accept_rate(int k) const;
  // The same of those cycles alone that accepted the drafts before it. Undefined where none did.
  std::optional<double> conditional_rate(int k) const;

 private:
  int64_t cycles_ = 0, committed_ = 0, proposed_ = 0;
  // [k]: cycles with more than k, and those of them that accepted k or more.
  std::vector<int64_t> proposed_beyond_, accepted_beyond_, reached_;
};

struct ReliabilityBin {
  int bin;            // of 20 of equal width, from 0
  double low, high;   // its range
  double prediction;  // mean
  double outcome;     // mean
  int64_t count;      // > 0
};

// Of one slot, or of all together. Undefined where nothing was added.
struct ConfidenceQuality {
  int64_t count = 0;
  std::optional<double> ece;    // 20 bins
  std::optional<double> auc;    // 1000 bins; undefined also when all outcomes are alike
  std::optional<double> brier;  // mean (prediction - outcome)^2
  std::optional<double> prediction, outcome;  // means
};

class ConfidenceMetrics {
 public:
  explicit ConfidenceMetrics(int slots);

  // survival: [>= considered], of a cycle verified at full length; considered and accepted as in
  // ObservedCycle. The outcome at slot k is whether drafts 0..k were all accepted. times: as if it
  // were added so often.
  void add(std::span<const double> survival, int considered, int accepted, int times = 1);

  ConfidenceQuality at(int slot) const;
  std::vector<ReliabilityBin> reliability(int slot) const;  // non-empty bins
  // Means over slots weighted by count (AUC over the slots that have one).
  ConfidenceQuality summary() const;

 private:
  struct Slot {
    Bins bins;
    double squares = 0;                         // sum of (prediction - outcome)^2
    std::vector<int64_t> positives, negatives;  // [1000]: outcomes by prediction
  };
  std::vector<Slot> slots_;
};

}  // namespace dspark::verify

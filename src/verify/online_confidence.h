// Confidences learned while requests run: for drafters whose confidences nobody calibrated, or that
// have none; and for calibrated ones whose truth has drifted.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "verify/bins.h"

namespace dspark::verify {

// How true confidences have lately been, over about 10,000 slots.
class RunningEce {
 public:
  void add(double confidence, bool accepted);
  double ece() const;  // 0 before the first slot

 private:
  struct Bin {
    double count = 0, confidence = 0, accepted = 0;  // sums
  };
  std::array<Bin, kBins> bins_;
};

// What sets a request apart from the others, in log-odds: its drafts go better or worse than their
// signals say.
struct RequestBias {
  double log_odds = 0;
  double information = 0;  // of its own slots, fading
};

// The chance of slot k, given that those before it stand, is sigmoid(a_k + b_k signal + bias). A
// signal is a confidence's log-odds, or those of the slot's most likely candidate: it knows the
// slot's candidates but not which of them is drawn, so that planners may use it in every mode.
// Weights follow single outcomes by Newton steps of the log-likelihood whose information fades,
// which is a Bayesian logistic regression by assumed densities, kept diagonal.
class OnlineConfidence {
 public:
  enum class Signal {
    kCalibrated,  // believed as it is, for as long as outcomes agree with it
    kPersonal,    // the same, but for what sets the request apart
    kRaw,         // log-odds that nobody calibrated
    kCertainty,   // the log-odds of a slot's most likely candidate
  };
  OnlineConfidence(int slots, Signal signal);

  // A signal that is not finite has no chance. Not const: a slot that was not looked at for long is
  // once given a fair chance, or nobody would ever learn that it has become worth drafting.
  double confidence(int slot, double signal, const RequestBias& bias);
  // `accepted` of a slot that was verified, those before it having been accepted.
  void observe(int slot, double signal, RequestBias& bias, bool accepted);

  bool learns() const { return learns_; }  // calibrated ones: only once they have drifted
  double ece() const { return quality_.ece(); }
  int64_t observations() const { return observations_; }

 private:
  struct Slot {
    double offset, scale;
    double offset_information, scale_information;
    int passed = 0;  // blocks since it was last observed
  };
  double chance(const Slot& slot, double signal, const RequestBias& bias) const;
  void watch(double chance, bool accepted);

  std::vector<Slot> slots_;
  bool learns_, personal_;
  RunningEce quality_;
  int64_t observations_ = 0;
  // Of recent slots: outcomes less their chances, that sum's variance, their number.
  double surprise_ = 0, variance_ = 0, weight_ = 0;
};

}  // namespace dspark::verify

// How sure the figures of confidence metrics are: bootstrap over prompts. Cycles of one prompt are
// alike, so it is prompts that are drawn again.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "verify/metrics.h"

namespace dspark::verify {

// Cycles with the survival that was predicted for them, by prompt.
class ConfidenceSample {
 public:
  explicit ConfidenceSample(int slots) : slots_(slots), metrics_(slots) {}

  void begin_prompt() { first_cycle_.push_back(cycles_.size()); }
  // Of the prompt begun last; as ConfidenceMetrics::add.
  void add(std::span<const double> survival, int considered, int accepted);

  size_t prompts() const { return first_cycle_.size(); }
  size_t cycles() const { return cycles_.size(); }
  const ConfidenceMetrics& metrics() const { return metrics_; }
  // With each prompt so many times. times: [prompts]
  ConfidenceMetrics resampled(std::span<const int> times) const;

 private:
  struct Cycle {
    size_t first;  // in survival_
    int considered, accepted;
  };
  int slots_;
  ConfidenceMetrics metrics_;
  std::vector<size_t> first_cycle_;  // by prompt
  std::vector<Cycle> cycles_;
  std::vector<double> survival_;
};

// In which a figure lies with 95 % confidence.
struct Interval {
  double low = 0, high = 0;
};
struct QualityIntervals {
  std::optional<Interval> ece, auc, brier;  // undefined where the figure is
};

// From 1,000 resamples, always the same. They are shifted by their mean's distance from the
// figure: noise within bins adds to the ECE of every resample, so that plain quantiles would lie
// above an ECE that is small.
QualityIntervals bootstrap(const ConfidenceSample& sample);
// Of the figures of `a` less those of `b`, two predictions for the same cycles.
QualityIntervals bootstrap_gain(const ConfidenceSample& a, const ConfidenceSample& b);

}  // namespace dspark::verify

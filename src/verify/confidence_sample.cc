#include "verify/confidence_sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dspark::verify {
namespace {

constexpr int kResamples = 1000;
constexpr double kTail = 0.025;

// splitmix64: the same draws everywhere.
class Draws {
 public:
  // How often each of n is drawn when n are drawn from them.
  void draw(std::vector<int>& times) {
    std::fill(times.begin(), times.end(), 0);
    for (size_t i = 0; i < times.size(); ++i) ++times[below(times.size())];
  }

 private:
  size_t below(size_t n) { return static_cast<size_t>((next() >> 32) * n >> 32); }
  uint64_t next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
  }

  uint64_t state_ = 980406;
};

// values: of the resamples that have the figure.
std::optional<Interval> interval(std::vector<double> values, std::optional<double> figure) {
  if (!figure || values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const double shift = *figure - std::accumulate(values.begin(), values.end(), 0.0) /
                                     static_cast<double>(values.size());
  const auto at = static_cast<size_t>(kTail * static_cast<double>(values.size()));
  return Interval{values[at] + shift, values[values.size() - 1 - at] + shift};
}

// Of a figure in [0, 1].
std::optional<Interval> share_interval(std::vector<double> values, std::optional<double> figure) {
  auto found = interval(std::move(values), figure);
  if (found) found->low = std::max(found->low, 0.0), found->high = std::min(found->high, 1.0);
  return found;
}

}  // namespace

void ConfidenceSample::add(std::span<const double> survival, int considered, int accepted) {
  CHECK(!first_cycle_.empty(), "a cycle of no prompt");
  metrics_.add(survival, considered, accepted);
  cycles_.push_back({survival_.size(), considered, accepted});
  survival_.insert(survival_.end(), survival.begin(), survival.begin() + considered);
}

ConfidenceMetrics ConfidenceSample::resampled(std::span<const int> times) const {
  CHECK(times.size() == prompts(), "{} counts of {} prompts", times.size(), prompts());
  ConfidenceMetrics metrics(slots_);
  for (size_t p = 0; p < times.size(); ++p) {
    if (times[p] == 0) continue;
    const size_t end = p + 1 < times.size() ? first_cycle_[p + 1] : cycles_.size();
    for (size_t c = first_cycle_[p]; c < end; ++c)
      metrics.add(std::span(survival_).subspan(cycles_[c].first,
                                               static_cast<size_t>(cycles_[c].considered)),
                  cycles_[c].considered, cycles_[c].accepted, times[p]);
  }
  return metrics;
}

QualityIntervals bootstrap(const ConfidenceSample& sample) {
  std::vector<double> ece, auc, brier;
  std::vector<int> times(sample.prompts());
  Draws draws;
  for (int i = 0; i < kResamples; ++i) {
    draws.draw(times);
    const ConfidenceQuality quality = sample.resampled(times).summary();
    if (quality.ece) ece.push_back(*quality.ece);
    if (quality.auc) auc.push_back(*quality.auc);
    if (quality.brier) brier.push_back(*quality.brier);
  }
  const ConfidenceQuality all = sample.metrics().summary();
  return {share_interval(std::move(ece), all.ece), share_interval(std::move(auc), all.auc),
          share_interval(std::move(brier), all.brier)};
}

QualityIntervals bootstrap_gain(const ConfidenceSample& a, const ConfidenceSample& b) {
  CHECK(a.prompts() == b.prompts(), "{} and {} prompts", a.prompts(), b.prompts());
  const auto less = [](const std::optional<double>& x, const std::optional<double>& y) {
    return x && y ? std::optional(*x - *y) : std::nullopt;
  };
  std::vector<double> ece, auc, brier;
  std::vector<int> times(a.prompts());
  Draws draws;
  for (int i = 0; i < kResamples; ++i) {
    draws.draw(times);
    const ConfidenceQuality of_a = a.resampled(times).summary(),
                            of_b = b.resampled(times).summary();
    if (const auto gain = less(of_a.ece, of_b.ece)) ece.push_back(*gain);
    if (const auto gain = less(of_a.auc, of_b.auc)) auc.push_back(*gain);
    if (const auto gain = less(of_a.brier, of_b.brier)) brier.push_back(*gain);
  }
  const ConfidenceQuality all_a = a.metrics().summary(), all_b = b.metrics().summary();
  return {interval(std::move(ece), less(all_a.ece, all_b.ece)),
          interval(std::move(auc), less(all_a.auc, all_b.auc)),
          interval(std::move(brier), less(all_a.brier, all_b.brier))};
}

}  // namespace dspark::verify

#include "verify/metrics.h"

namespace dspark::verify {
namespace {

constexpr int kFineBins = 1000;

// The chance that a positive's prediction is above a negative's; equal bins count half.
std::optional<double> auc_of(const std::vector<int64_t>& positives,
                             const std::vector<int64_t>& negatives) {
  double pairs = 0;
  int64_t positive = 0, negative = 0;
  for (size_t b = 0; b < positives.size(); ++b) {
    pairs += static_cast<double>(positives[b]) *
             (static_cast<double>(negative) + 0.5 * static_cast<double>(negatives[b]));
    positive += positives[b];
    negative += negatives[b];
  }
  if (positive == 0 || negative == 0) return std::nullopt;
  return pairs / (static_cast<double>(positive) * static_cast<double>(negative));
}

// A mean weighted by count, of the values that are there.
class PooledMean {
 public:
  void add(std::optional<double> value, int64_t count) {
    if (!value) return;
    sum_ += *value * static_cast<double>(count);
    count_ += count;
  }
  std::optional<double> mean() const {
    if (count_ == 0) return std::nullopt;
    return sum_ / static_cast<double>(count_);
  }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

}  // namespace

ConfidenceMetrics::ConfidenceMetrics(int slots) : slots_(static_cast<size_t>(slots)) {
  for (Slot& slot : slots_) {
    slot.positives.assign(kFineBins, 0);
    slot.negatives.assign(kFineBins, 0);
  }
}

void ConfidenceMetrics::add(std::span<const double> survival, int considered, int accepted,
                            int times) {
  const auto n = static_cast<size_t>(considered);
  CHECK(n <= slots_.size() && n <= survival.size() && accepted >= 0 && accepted <= considered,
        "{} accepted of {} considered of {} slots, {} survivals", accepted, considered,
        slots_.size(), survival.size());
  for (size_t k = 0; k < n; ++k) {
    const bool stood = k < static_cast<size_t>(accepted);
    const double prediction = clamp_prediction(survival[k]);
    const double error = prediction - (stood ? 1 : 0);
    Slot& slot = slots_[k];
    slot.bins.add(prediction, stood, times);
    slot.squares += error * error * times;
    (stood ? slot.positives : slot.negatives)[bin_of(prediction, kFineBins)] += times;
  }
}

ConfidenceQuality ConfidenceMetrics::at(int slot) const {
  const Slot& s = slots_[static_cast<size_t>(slot)];
  ConfidenceQuality quality;
  double predicted = 0;
  int64_t positive = 0;
  for (const Bins::Bin& bin : s.bins.bins()) {
    quality.count += bin.count;
    predicted += bin.predicted;
    positive += bin.positive;
  }
  if (quality.count == 0) return quality;
  const auto count = static_cast<double>(quality.count);
  quality.ece = s.bins.ece();
  quality.auc = auc_of(s.positives, s.negatives);
  quality.brier = s.squares / count;
  quality.prediction = predicted / count;
  quality.outcome = static_cast<double>(positive) / count;
  return quality;
}

std::vector<ReliabilityBin> ConfidenceMetrics::reliability(int slot) const {
  std::vector<ReliabilityBin> result;
  const auto& bins = slots_[static_cast<size_t>(slot)].bins.bins();
  for (int b = 0; b < kBins; ++b) {
    const Bins::Bin& bin = bins[static_cast<size_t>(b)];
    if (bin.count == 0) continue;
    const auto count = static_cast<double>(bin.count);
    result.push_back({b, static_cast<double>(b) / kBins, static_cast<double>(b + 1) / kBins,
                      bin.predicted / count, static_cast<double>(bin.positive) / count, bin.count});
  }
  return result;
}

ConfidenceQuality ConfidenceMetrics::summary() const {
  ConfidenceQuality all;
  PooledMean ece, auc, brier, prediction, outcome;
  for (size_t k = 0; k < slots_.size(); ++k) {
    const ConfidenceQuality slot = at(static_cast<int>(k));
    all.count += slot.count;
    ece.add(slot.ece, slot.count);
    auc.add(slot.auc, slot.count);
    brier.add(slot.brier, slot.count);
    prediction.add(slot.prediction, slot.count);
    outcome.add(slot.outcome, slot.count);
  }
  all.ece = ece.mean(), all.auc = auc.mean(), all.brier = brier.mean();
  all.prediction = prediction.mean(), all.outcome = outcome.mean();
  return all;
}

}  // namespace dspark::verify

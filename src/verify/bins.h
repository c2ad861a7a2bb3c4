// Private to the room verify: predictions against outcomes, in 20 bins of equal width (spec E.2).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace dspark::verify {

inline constexpr int kBins = 20;

inline double clamp_prediction(double s) { return std::clamp(s, 1e-8, 1 - 1e-8); }

// A clamped prediction's bin, of `bins`.
inline size_t bin_of(double prediction, int bins) {
  return static_cast<size_t>(std::min(static_cast<int>(prediction * bins), bins - 1));
}

class Bins {
 public:
  struct Bin {
    int64_t count = 0, positive = 0;
    double predicted = 0;  // sum
  };

  void add(double prediction, bool outcome, int64_t times = 1) {
    Bin& bin = bins_[bin_of(prediction, kBins)];
    bin.count += times;
    bin.positive += outcome ? times : 0;
    bin.predicted += prediction * static_cast<double>(times);
  }

  // Mean |mean prediction - mean outcome| of a bin, weighted by count. Something was added.
  double ece() const {
    double sum = 0;
    int64_t count = 0;
    for (const Bin& bin : bins_) {
      sum += std::fabs(bin.predicted - static_cast<double>(bin.positive));
      count += bin.count;
    }
    return sum / static_cast<double>(count);
  }

  const std::array<Bin, kBins>& bins() const { return bins_; }

 private:
  std::array<Bin, kBins> bins_;
};

}  // namespace dspark::verify

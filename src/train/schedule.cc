#include "train/schedule.h"

#include <cmath>
#include <numbers>

namespace dspark::train {

double learning_rate(double peak, double warmup, int64_t total, int64_t step) {
  const auto warm = static_cast<int64_t>(warmup * static_cast<double>(total));
  if (step < warm) return peak * static_cast<double>(step + 1) / static_cast<double>(warm);
  const auto t = static_cast<double>(step - warm), d = static_cast<double>(total - warm);
  if (d <= 1) return peak;
  // torch's recursion starts from the peak one step late: its cosine is a little higher than 1.
  return peak * (1 + std::cos(std::numbers::pi * t / d)) / (1 + std::cos(std::numbers::pi / d));
}

}  // namespace dspark::train

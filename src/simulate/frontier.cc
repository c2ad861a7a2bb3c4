#include "simulate/frontier.h"

#include <algorithm>

namespace dspark::simulate {
namespace {

// The most of `wanted` on the curve where `held` is at least `floor`.
std::optional<double> most(std::span<const SpeedPoint> curve, double SpeedPoint::*wanted,
                           double SpeedPoint::*held, double floor) {
  std::optional<double> best;
  const auto offer = [&](double value) { best = std::max(best.value_or(value), value); };
  for (size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].*held >= floor) offer(curve[i].*wanted);
    if (i == 0) continue;
    const SpeedPoint &from = curve[i - 1], &to = curve[i];
    if ((from.*held >= floor) == (to.*held >= floor)) continue;
    const double share = (floor - from.*held) / (to.*held - from.*held);
    offer(from.*wanted + share * (to.*wanted - from.*wanted));
  }
  return best;
}

}  // namespace

std::optional<double> total_at(std::span<const SpeedPoint> curve, double per_user) {
  return most(curve, &SpeedPoint::total, &SpeedPoint::per_user, per_user);
}
std::optional<double> per_user_at(std::span<const SpeedPoint> curve, double total) {
  return most(curve, &SpeedPoint::per_user, &SpeedPoint::total, total);
}

}  // namespace dspark::simulate

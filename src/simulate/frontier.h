// The frontier of a policy: its total speed against the speed per user, one point a load.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace dspark::simulate {

struct SpeedPoint {
  double per_user = 0, total = 0;  // tokens a second
};

// Between neighbouring loads both speeds are taken to change together, linearly. curve: by rising
// load.
//
// The most total speed at which every user has per_user or more; nothing where no load gives it.
std::optional<double> total_at(std::span<const SpeedPoint> curve, double per_user);
// The most speed per user at which the total is `total` or more.
std::optional<double> per_user_at(std::span<const SpeedPoint> curve, double total);

}  // namespace dspark::simulate

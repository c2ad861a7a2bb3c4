#include "verify/builtin_cost.h"

#include <algorithm>
#include <array>

namespace dspark::verify {
namespace {

// A step's matrix products, measured on packed 4-bit weights with 2 threads (docs/decisions.md).
struct Point {
  int rows;
  double cost;
};
constexpr std::array<Point, 6> kCurve = {
    {{1, 1.0}, {2, 1.0}, {4, 1.16}, {8, 1.84}, {12, 2.84}, {16, 3.79}}};
constexpr double kPerRow = 0.237;  // from 16 rows on
constexpr double kDraft = 0.15;    // a draft, in the same unit

}  // namespace

double BuiltInCost::step_ms(int rows) const {
  rows = std::max(rows, 1);
  const Point* upper =
      std::find_if(kCurve.begin(), kCurve.end(), [rows](const Point& p) { return p.rows >= rows; });
  if (upper == kCurve.end())
    return kCurve.back().cost + (rows - kCurve.back().rows) * kPerRow + kDraft;
  if (upper == kCurve.begin()) return upper->cost + kDraft;
  const Point& lower = *(upper - 1);
  const double share = static_cast<double>(rows - lower.rows) / (upper->rows - lower.rows);
  return lower.cost + share * (upper->cost - lower.cost) + kDraft;
}

}  // namespace dspark::verify

#include "verify/cost_table.h"

#include <algorithm>
#include <cmath>

namespace dspark::verify {
namespace {

// How far an observation moves the whole curve and its own points; points seen for the first times
// move further.
constexpr double kScaleGain = 0.1, kShapeGain = 0.1;
constexpr int kYoung = 8;
// What one observation can be off by, as a factor.
constexpr double kMostOff = 1.5;
// Attention reads keys and values this much slower than a product its weights (docs/benchmarks.md).
constexpr double kCacheFactor = 1.4;

// A step's time by its rows in steps of one row, on packed 4-bit weights with 2 threads
// (docs/benchmarks.md). Rather too kind to many rows: what looks dear is never tried, what looks
// cheap is measured.
std::vector<CostCurve::Point> usual_rows() {
  return {{1, 1.0},   {2, 1.06},  {3, 1.12},  {4, 1.2},  {5, 1.35},  {6, 1.5},   {7, 1.7},
          {8, 1.9},   {10, 2.4},  {12, 2.85}, {16, 3.8}, {24, 5.7},  {32, 7.6},  {48, 11.4},
          {64, 15.2}, {96, 22.8}, {128, 30},  {256, 61}, {512, 122}, {1024, 244}};
}
// A draft's by its requests, in the same unit.
std::vector<CostCurve::Point> usual_drafts() {
  return {{1, 0.17}, {2, 0.2}, {4, 0.3}, {8, 0.5}, {16, 1.0}, {32, 2.0}, {64, 4.0}};
}

}  // namespace

CostCurve::CostCurve(std::vector<Point> shape)
    : points_(std::move(shape)), seen_(points_.size(), 0) {
  CHECK(points_.size() >= 2, "a curve of {} points", points_.size());
  for (size_t i = 0; i < points_.size(); ++i)
    CHECK(points_[i].ms > 0 && (i == 0 || points_[i].count > points_[i - 1].count),
          "point {} of a curve", i);
}

size_t CostCurve::piece(int count, double* share) const {
  const auto upper = std::find_if(points_.begin() + 1, points_.end() - 1,
                                  [&](const Point& p) { return p.count >= count; });
  const Point &high = *upper, &low = *(upper - 1);
  *share = std::max(0.0, static_cast<double>(count - low.count) / (high.count - low.count));
  return static_cast<size_t>(upper - points_.begin()) - 1;
}

double CostCurve::at(int count) const {
  double share = 0;
  const size_t low = piece(count, &share);
  double floor = 0;  // fewer never cost more
  for (size_t i = 0; i < low; ++i) floor = std::max(floor, value(i));
  const double from = std::max(floor, value(low)), to = std::max(from, value(low + 1));
  return std::lerp(from, to, share);  // never falls, not by rounding either
}

void CostCurve::observe(int count, double ms) {
  if (!(ms > 0) || !std::isfinite(ms)) return;
  const int64_t before = observations_++;
  double off = std::log(ms / at(count));
  if (before > 0) off = std::clamp(off, -std::log(kMostOff), std::log(kMostOff));
  scale_ *= std::exp(std::max(kScaleGain, 1 / (1 + static_cast<double>(before))) * off);
  if (before == 0) return;  // says nothing about the shape
  double share = 0;
  const size_t low = piece(count, &share);
  share = std::min(share, 1.0);
  const auto move = [&](size_t point, double weight) {
    if (weight <= 0) return;
    const double gain = std::max(kShapeGain, 1.0 / (2 + seen_[point]));
    points_[point].ms *= std::exp(weight * gain * off);
    if (weight >= 0.5) seen_[point] = std::min(seen_[point] + 1, kYoung);
  };
  move(low, 1 - share);
  move(low + 1, share);
}

std::vector<CostCurve::Point> CostCurve::points() const {
  std::vector<Point> list;
  for (const Point& p : points_) list.push_back({p.count, at(p.count)});
  return list;
}

CostTable::CostTable(double weight_bytes)
    : weight_bytes_(weight_bytes), rows_(usual_rows()), drafts_(usual_drafts()) {}

double CostTable::cache_ms(double bytes) const {
  return kCacheFactor * rows_.at(1) * bytes / weight_bytes_;
}

void CostTable::prepare(double cache_bytes, int drafting) {
  cache_ms_ = cache_ms(cache_bytes);
  draft_ms_ = draft_ms(drafting);
}

void CostTable::observe_target(int rows, double cache_bytes, double target_ms) {
  // What attention takes is a share of it, by what is known so far.
  const double share = rows_.at(rows) / (rows_.at(rows) + cache_ms(cache_bytes));
  rows_.observe(rows, target_ms * share);
}

void CostTable::observe_draft(int requests, double ms) {
  if (requests > 0) drafts_.observe(requests, ms);
}

void CostTable::start_from(const CostPoints& points) {
  rows_ = CostCurve(points.rows);
  if (points.drafts.size() >= 2) drafts_ = CostCurve(points.drafts);
}

}  // namespace dspark::verify

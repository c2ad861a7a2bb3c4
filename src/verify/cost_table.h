// What rows and drafts cost on this machine, learned from the steps themselves.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "verify/planner.h"

namespace dspark::verify {

// Milliseconds by a count (rows of a step, requests of a draft), never falling. It starts as a
// shape in some unit; observations give it its scale at once and then its shape, so that what was
// never seen follows what was. A machine that becomes slower or faster moves it within about 20
// observations.
class CostCurve {
 public:
  struct Point {
    int count;
    double ms;
  };
  explicit CostCurve(std::vector<Point> shape);

  double at(int count) const;  // beyond the last point: along its last piece
  // One measurement. Of those that are far off, single ones count little.
  void observe(int count, double ms);
  int64_t observations() const { return observations_; }

  // The points as they are now, in ms: what another curve can start from.
  std::vector<Point> points() const;

 private:
  double value(size_t point) const { return scale_ * points_[point].ms; }
  // The piece that count lies in: its lower point, and how far from there to the next.
  size_t piece(int count, double* share) const;

  std::vector<Point> points_;
  std::vector<int> seen_;  // [points], up to some number
  double scale_ = 1;
  int64_t observations_ = 0;
};

// Both curves of a table, as a profile finds them.
struct CostPoints {
  std::vector<CostCurve::Point> rows, drafts;
};

// A step's cost: rows by one curve, cache that attention reads by the rate at which one row reads
// the weights, drafts by another curve.
class CostTable : public StepCost {
 public:
  // weight_bytes: read by a step of one row.
  explicit CostTable(double weight_bytes);

  // What the next step looks like besides its rows: bytes of keys and values that it reads, and
  // requests that were drafted for.
  void prepare(double cache_bytes, int drafting);
  double step_ms(int rows) const override { return target_ms(rows) + draft_ms_; }
  // The target's part of it.
  double target_ms(int rows) const { return rows_.at(rows) + cache_ms_; }
  double draft_ms(int requests) const { return requests > 0 ? drafts_.at(requests) : 0; }

  // A step of `rows` rows, each with logits, took target_ms without its drafts.
  void observe_target(int rows, double cache_bytes, double target_ms);
  void observe_draft(int requests, double ms);
  bool measured() const { return rows_.observations() > 0; }
  const CostCurve& rows() const { return rows_; }
  const CostCurve& drafts() const { return drafts_; }
  // Begins where another table was, measured by the same program on the same machine.
  void start_from(const CostPoints& points);

 private:
  double cache_ms(double bytes) const;

  double weight_bytes_;
  CostCurve rows_, drafts_;
  double cache_ms_ = 0, draft_ms_ = 0;
};

}  // namespace dspark::verify

#include "simulate/costs.h"

namespace dspark::simulate {

Costs::Costs(const verify::CostPoints& points) : rows_{verify::CostCurve(points.rows)} {
  if (!points.drafts.empty()) drafts_.push_back({verify::CostCurve(points.drafts)});
}

// Planners ask for many counts, and again and again.
double Costs::Known::at(int count) const {
  const auto place = static_cast<size_t>(count);
  while (ms.size() <= place) ms.push_back(curve.at(static_cast<int>(ms.size())));
  return ms[place];
}

double Costs::target_ms(int rows) const { return rows_.at(rows); }
double Costs::draft_ms(int requests) const {
  return requests == 0 || drafts_.empty() ? 0 : drafts_[0].at(requests);
}

}  // namespace dspark::simulate

#include "verify/residual.h"

#include <algorithm>

namespace dspark::verify {

double probability(const DraftDistribution& q, int32_t id) {
  if (q.ids.empty()) return static_cast<double>(q.probs[static_cast<size_t>(id)]);
  const auto place = std::find(q.ids.begin(), q.ids.end(), id);
  if (place == q.ids.end()) return 0;
  return static_cast<double>(q.probs[static_cast<size_t>(place - q.ids.begin())]);
}

double likelihood_ratio(double p, double q) { return p / std::max(q, 1e-8); }

double residual(double scale, std::span<const float> p, const DraftDistribution& q,
                std::span<float> out) {
  // Lane k adds up every fourth value: one chain of additions would wait for each of them.
  double lanes[4] = {};
  const auto set = [&](size_t id, double value) {
    out[id] = static_cast<float>(value > 0 ? value : 0);
    lanes[id % 4] += static_cast<double>(out[id]);
  };
  if (q.ids.empty()) {
    for (size_t id = 0; id < p.size(); ++id)
      set(id, scale * static_cast<double>(p[id]) - static_cast<double>(q.probs[id]));
  } else {
    for (size_t id = 0; id < p.size(); ++id)
      out[id] = static_cast<float>(scale * static_cast<double>(p[id]));
    for (size_t i = 0; i < q.ids.size(); ++i) {
      const auto id = static_cast<size_t>(q.ids[i]);
      const double value = scale * static_cast<double>(p[id]) - static_cast<double>(q.probs[i]);
      out[id] = static_cast<float>(value > 0 ? value : 0);
    }
    for (size_t id = 0; id < p.size(); ++id) lanes[id % 4] += static_cast<double>(out[id]);
  }
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

double block_threshold(double mass, double w) {
  const double all = mass + (1 - w);
  return all > 0 ? mass / all : 1;
}

}  // namespace dspark::verify

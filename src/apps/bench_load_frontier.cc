// The trade of a user's speed for everybody's, by policy: the line through its closed loops, by
// rising concurrency and straight in between.
#include <algorithm>
#include <array>

#include "apps/bench_load.h"

namespace dspark::apps {
namespace {

// Of off's speed alone; of the throughput that a policy has with the fewest users.
constexpr std::array kFloors = {0.6, 0.8, 1.0, 1.3};
constexpr std::array kLevels = {1.0, 1.3};

using Line = std::vector<std::pair<double, double>>;

// The largest y of the line where x is at least `floor`.
std::optional<double> most(const Line& line, double floor) {
  std::optional<double> best;
  const auto reach = [&](double y) { best = std::max(best.value_or(y), y); };
  for (size_t i = 0; i < line.size(); ++i) {
    const auto [x, y] = line[i];
    if (x >= floor) reach(y);
    if (i + 1 == line.size()) break;
    const auto [next_x, next_y] = line[i + 1];
    if ((x - floor) * (next_x - floor) < 0) reach(y + (floor - x) / (next_x - x) * (next_y - y));
  }
  return best;
}

Line turned(Line line) {
  for (auto& [x, y] : line) std::swap(x, y);
  return line;
}

}  // namespace

LoadFrontier load_frontier(const LoadResult& result) {
  LoadFrontier frontier;
  std::vector<size_t> points;
  for (size_t point = 0; point < result.points.size(); ++point)
    if (!result.points[point].open) points.push_back(point);
  std::sort(points.begin(), points.end(), [&](size_t a, size_t b) {
    return result.points[a].concurrency < result.points[b].concurrency;
  });
  std::vector<Line> by_user(result.policies.size());  // (a user's, all) tokens/s
  std::optional<size_t> off;
  for (size_t policy = 0; policy < result.policies.size(); ++policy) {
    for (const size_t point : points)
      by_user[policy].emplace_back(user_rate(result.cell(point, policy)),
                                   total_rate(result.cell(point, policy)));
    if (result.policies[policy].never_drafts) off = policy;
  }
  if (!off) return frontier;
  for (size_t policy = 0; policy < result.policies.size(); ++policy)
    for (const double share : kFloors) {
      const double floor = share * by_user[*off].front().first;
      frontier.floors.push_back({policy, share, floor, most(by_user[policy], floor)});
    }
  for (size_t policy = 0; policy < result.policies.size(); ++policy) {
    if (result.policies[policy].baseline) continue;
    for (const double level : kLevels) {
      const double total = level * by_user[policy].front().second;
      frontier.levels.push_back({policy, level, total, most(turned(by_user[policy]), total),
                                 most(turned(by_user[*off]), total)});
    }
    // Where no other gets as much through, the policy is alone.
    LoadEnvelope envelope{.policy = policy};
    for (const auto& [user, total] : by_user[policy]) {
      double best = 0;
      for (size_t other = 0; other < result.policies.size(); ++other)
        if (other != policy) best = std::max(best, most(turned(by_user[other]), total).value_or(0));
      if (best > 0) envelope.ratio = std::min(envelope.ratio.value_or(user / best), user / best);
    }
    frontier.envelopes.push_back(envelope);
  }
  return frontier;
}

}  // namespace dspark::apps

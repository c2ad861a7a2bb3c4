// Whether a policy that adapts is ever a loss: paired with the best baseline, which is picked by
// other runs than those it is compared in.
#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "apps/bench_load.h"

namespace dspark::apps {
namespace {

constexpr int kResamples = 2000;

using Value = std::function<double(size_t policy, size_t round)>;  // tokens a second

// The baseline of the largest median over the rounds of this parity.
size_t best_baseline(const LoadResult& result, size_t rounds, size_t parity, const Value& value) {
  size_t best = 0;
  double best_rate = -1;
  for (size_t p = 0; p < result.policies.size(); ++p) {
    if (!result.policies[p].baseline) continue;
    std::vector<double> rates;
    for (size_t r = parity; r < rounds; r += 2) rates.push_back(value(p, r));
    const double rate = median(std::move(rates));
    if (rate > best_rate) best = p, best_rate = rate;
  }
  return best;
}

LoadComparison compare(const LoadResult& result, size_t policy, size_t rounds, const Value& value) {
  LoadComparison comparison{.policy = policy};
  size_t best[2];
  for (const size_t parity : {size_t{0}, size_t{1}}) {
    best[parity] = best_baseline(result, rounds, parity, value);
    comparison.baselines.push_back(result.policies[best[parity]].name);
  }
  for (size_t r = 0; r < rounds; ++r)
    comparison.ratios.push_back(value(policy, r) / value(best[1 - r % 2], r));
  comparison.ratio = median(comparison.ratios);
  std::mt19937_64 random(1);
  std::vector<double> medians, sample(rounds);
  for (int i = 0; i < kResamples; ++i) {
    for (double& ratio : sample) ratio = comparison.ratios[random() % rounds];
    medians.push_back(median(sample));
  }
  comparison.low = percentile(medians, 2.5);
  comparison.high = percentile(medians, 97.5);
  return comparison;
}

}  // namespace

std::vector<LoadComparison> compare_policies(const LoadResult& result) {
  std::vector<LoadComparison> comparisons;
  const size_t rounds = result.cells.front().runs.size();
  const bool any = std::any_of(result.policies.begin(), result.policies.end(),
                               [](const LoadPolicy& policy) { return policy.baseline; });
  if (rounds < 2 || !any) return comparisons;
  const auto closed = static_cast<size_t>(
      std::count_if(result.points.begin(), result.points.end(), [](auto& p) { return !p.open; }));
  const auto rate = [&](size_t point, size_t policy, size_t round) {
    return result.cell(point, policy).runs[round].total_tok_per_s();
  };
  const auto mean_rate = [&](size_t policy, size_t round) {
    double logs = 0;
    for (size_t point = 0; point < closed; ++point) logs += std::log(rate(point, policy, round));
    return std::exp(logs / static_cast<double>(closed));
  };
  // A suite needs a request that counts in every round; it is there under all policies alike.
  const auto has_rates = [&](size_t point, size_t suite) {
    const std::vector<LoadRun>& runs = result.cell(point, 0).runs;
    return std::all_of(runs.begin(), runs.end(),
                       [suite](const LoadRun& run) { return run.suites[suite].tokens > 0; });
  };
  for (size_t p = 0; p < result.policies.size(); ++p) {
    if (result.policies[p].baseline) continue;
    for (size_t point = 0; point < closed; ++point) {
      comparisons.push_back(compare(result, p, rounds, [&](size_t policy, size_t round) {
        return rate(point, policy, round);
      }));
      comparisons.back().point = point;
    }
    if (closed > 1) comparisons.push_back(compare(result, p, rounds, mean_rate));
    for (size_t point = 0; point < closed && result.suites.size() > 1; ++point) {
      for (size_t suite = 0; suite < result.suites.size(); ++suite) {
        if (!has_rates(point, suite)) continue;
        comparisons.push_back(compare(result, p, rounds, [&](size_t policy, size_t round) {
          return result.cell(point, policy).runs[round].suites[suite].tok_per_s();
        }));
        comparisons.back().point = point;
        comparisons.back().suite = suite;
      }
    }
  }
  return comparisons;
}

}  // namespace dspark::apps

// What a plan costs, by planner and requests of 7 slots: the verify lengths of one step, by the
// engine's own table of costs.
//   planner_speed [--benchmark_filter=lagged/64]
#include <benchmark/benchmark.h>

#include <random>

#include "verify/verify.h"

namespace dspark::verify {
namespace {

constexpr int kSlots = 7;

// Survival of a request: products of chances between 0.3 and 1.
std::vector<double> draw_survival(std::mt19937& random) {
  std::vector<double> survival;
  double product = 1;
  for (int k = 0; k < kSlots; ++k)
    survival.push_back(product *= std::uniform_real_distribution<double>(0.3, 1)(random));
  return survival;
}

void plan(benchmark::State& state, const char* name) {
  const auto planner = make_planner(parse_planner(name).take(), Mode::kCoupled).take();
  const auto requests = static_cast<size_t>(state.range(0));
  std::mt19937 random(1);
  std::vector<std::vector<double>> now, then;
  for (size_t r = 0; r < requests; ++r) {
    now.push_back(draw_survival(random));
    then.push_back(draw_survival(random));
  }
  std::vector<RequestView> views(requests);
  for (size_t r = 0; r < requests; ++r)
    views[r] = {
        .drafted = kSlots, .confidence = now[r], .survival = now[r], .lagged_survival = then[r]};
  CostTable cost(1e8);
  cost.prepare(1e6, static_cast<int>(requests));
  std::vector<int> lengths(requests);
  for (auto _ : state) {
    const Plan made = planner->plan({.requests = views}, cost, lengths);
    benchmark::DoNotOptimize(made.rows);
    benchmark::DoNotOptimize(lengths.data());
  }
}

void requests(benchmark::internal::Benchmark* bench) {
  bench->Arg(1)->Arg(8)->Arg(64)->Arg(256)->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(plan, fixed, "fixed:4")->Apply(requests);
BENCHMARK_CAPTURE(plan, threshold, "threshold:0.5")->Apply(requests);
BENCHMARK_CAPTURE(plan, causal, "causal")->Apply(requests);
BENCHMARK_CAPTURE(plan, lagged, "lagged")->Apply(requests);
BENCHMARK_CAPTURE(plan, global, "global")->Apply(requests);

// Before a plan: survival of all slots from their confidence logits.
void calibrated_survival(benchmark::State& state) {
  const auto requests = static_cast<size_t>(state.range(0));
  const std::vector<float> logits(kSlots, 0.7f);
  const Calibration calibration{std::vector<double>(kSlots, 1.3), {}};
  std::vector<double> confidence(kSlots), product(kSlots);
  for (auto _ : state)
    for (size_t r = 0; r < requests; ++r) {
      survival(logits, {}, calibration, confidence, product);
      benchmark::DoNotOptimize(product.data());
    }
}
BENCHMARK(calibrated_survival)->Apply(requests);

}  // namespace
}  // namespace dspark::verify

BENCHMARK_MAIN();

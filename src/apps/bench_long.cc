// bench --suite long: what a long context adds to a step, beside the time to read its cache.
#include <algorithm>

#include "apps/bench.h"

namespace dspark::apps {
namespace {

constexpr int kShort = 128, kLong = 4096;
constexpr int kLongTokens = 32;
constexpr int kLongRounds = 3;

// Milliseconds of the one-row steps while the context grows to `context`.
Result<std::vector<double>> step_times(engine::Engine& engine, int context) {
  DSPARK_TRY(
      [[maybe_unused]] const auto id,
      engine.submit(bench_request(engine.info(), context - kLongTokens, kLongTokens, 0), {}));
  std::vector<double> times_ms;
  while (engine.step()) {
    const engine::StepStats& step = engine.last_step();
    if (step.rows == 1 && times_ms.size() < kLongTokens - 1) times_ms.push_back(step.ms);
  }
  if (times_ms.empty()) return fail("no step of one row at a context of {}", context);
  return times_ms;
}

}  // namespace

Result<BenchResult> bench_long(engine::Engine& engine) {
  const engine::Info& info = engine.info();
  const int far = static_cast<int>(std::min<int64_t>(kLong, info.context));
  if (far <= kShort)
    return fail("the suite long needs a context of more than {} tokens; this model has {}", kShort,
                info.context);
  std::vector<double> near_ms, far_ms;
  for (int round = 0; round < kLongRounds; ++round) {
    DSPARK_TRY(const auto near_times, step_times(engine, kShort));
    DSPARK_TRY(const auto far_times, step_times(engine, far));
    near_ms.insert(near_ms.end(), near_times.begin(), near_times.end());
    far_ms.insert(far_ms.end(), far_times.begin(), far_times.end());
  }
  const double read = engine.stream_read_gb_per_s();
  const double near = median(near_ms), added = median(far_ms) - near;
  const auto added_bytes = static_cast<size_t>(far - kShort) * info.position_bytes;
  const double stream_ms = static_cast<double>(added_bytes) / read / 1e6;
  BenchResult result;
  result.rows.push_back(
      {{"suite", "long"}, {"case", "step"}, {"context", kShort}, {"step_ms", near}});
  result.rows.push_back({{"suite", "long"},
                         {"case", "step"},
                         {"context", far},
                         {"step_ms", near + added},
                         {"added_ms", added},
                         {"added_cache_bytes", added_bytes},
                         {"stream_read_gb_per_s", read},
                         {"stream_ms", stream_ms},
                         {"added_per_stream", added / stream_ms}});
  result.table = fmt::format(
      "context {:5}: {:8.3f} ms a step\ncontext {:5}: {:8.3f} ms a step, {:.3f} ms more for {:.1f} "
      "MB of "
      "cache\nreading as many bytes at {:.1f} GB/s takes {:.3f} ms: {:.2f} times that\n",
      kShort, near, far, near + added, added, static_cast<double>(added_bytes) / 1e6, read,
      stream_ms, added / stream_ms);
  return result;
}

}  // namespace dspark::apps

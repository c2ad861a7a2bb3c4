// bench --suite width: what a step costs by its rows, beside its matrix products alone.
#include <map>

#include "apps/bench.h"
#include "apps/step_times.h"

namespace dspark::apps {
namespace {

// Widths, whole steps and matrices take turns, so that all see the same machine.
constexpr int kWidthRounds = 3;
constexpr int kMatrixRepeats = 20;

struct Width {
  StepTimes steps;
  std::vector<double> matrices_ms;
};

}  // namespace

Result<BenchResult> bench_width(engine::Engine& engine, const std::vector<int>& more_rows) {
  std::map<int, Width> widths = {{1, {}}};
  for (const int rows : more_rows) widths[rows] = {};
  for (int round = 0; round < kWidthRounds; ++round)
    for (auto& [rows, width] : widths) {
      DSPARK_RETURN_IF_ERROR(time_steps(engine, rows, 0, width.steps));
      width.matrices_ms.push_back(engine.time_matrices_ms(rows, kMatrixRepeats));
    }

  BenchResult result;
  result.table = "rows   step ms   matrices ms   step/matrices   step/one row   rows/s\n";
  const double one_row_ms = median(widths.at(1).steps.step);
  for (const auto& [rows, width] : widths) {
    const double step_ms = median(width.steps.step), matrices_ms = median(width.matrices_ms);
    result.rows.push_back({{"suite", "width"},
                           {"case", "step"},
                           {"rows", rows},
                           {"context", kTimedPrompt + timed_tokens(rows)},
                           {"step_ms", step_ms},
                           {"matrices_ms", matrices_ms},
                           {"step_per_matrices", step_ms / matrices_ms},
                           {"step_per_one_row", step_ms / one_row_ms}});
    result.table +=
        fmt::format("{:4} {:9.3f} {:13.3f} {:15.2f} {:14.2f} {:8.0f}\n", rows, step_ms, matrices_ms,
                    step_ms / matrices_ms, step_ms / one_row_ms, rows / step_ms * 1e3);
  }
  const double read = engine.stream_read_gb_per_s();
  const double achieved = static_cast<double>(engine.info().weight_bytes) / one_row_ms / 1e6;
  result.rows.push_back({{"suite", "width"},
                         {"case", "bandwidth"},
                         {"rows", 1},
                         {"weight_bytes", engine.info().weight_bytes},
                         {"stream_read_gb_per_s", read},
                         {"achieved_gb_per_s", achieved}});
  result.table += fmt::format(
      "one row reads the weights at {:.1f} GB/s; a plain read of as many bytes "
      "runs at {:.1f} GB/s ({:.0f} %)\n",
      achieved, read, achieved / read * 100);
  return result;
}

}  // namespace dspark::apps

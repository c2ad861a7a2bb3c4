// bench --suite load --plots: the plots of the DSpark paper's figures 7 and 8, of closed loops.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/bench_load.h"
#include "apps/svg_plot.h"

namespace dspark::apps {
namespace {

using Coordinates = std::function<std::pair<double, double>(const LoadPoint&, const LoadCell&)>;

// A line a policy, baselines faint; both axes begin at 0.
Plot policy_plot(const LoadResult& result, std::string title, std::string x_label,
                 std::string y_label, const Coordinates& coordinates) {
  Plot plot{.title = std::move(title),
            .x_label = std::move(x_label),
            .y_label = std::move(y_label),
            .x_high = 0,
            .y_high = 0};
  for (size_t policy = 0; policy < result.policies.size(); ++policy) {
    PlotLine line{.label = result.policies[policy].name, .faint = result.policies[policy].baseline};
    for (size_t point = 0; point < result.points.size(); ++point) {
      if (result.points[point].open) continue;
      line.points.push_back(coordinates(result.points[point], result.cell(point, policy)));
      plot.x_high = std::max(plot.x_high, line.points.back().first);
      plot.y_high = std::max(plot.y_high, line.points.back().second);
    }
    plot.lines.push_back(std::move(line));
  }
  for (const auto& [high, step] :
       {std::pair{&plot.x_high, &plot.x_step}, std::pair{&plot.y_high, &plot.y_step}}) {
    *step = mark_step(*high > 0 ? *high : 1);
    *high = *step * std::max(1.0, std::ceil(*high / *step));
  }
  return plot;
}

double verify_length(const LoadCell& cell) {
  double verified = 0, cycles = 0;
  for (const LoadRun& run : cell.runs)
    verified += static_cast<double>(run.verified),
        cycles += static_cast<double>(run.request_cycles);
  return cycles > 0 ? verified / cycles : 0;
}

}  // namespace

Status write_load_plots(const LoadResult& result, const std::string& folder) {
  const std::filesystem::path to = folder;
  const auto write = [&](const char* name, const Plot& plot) {
    return write_file_atomically(to / name, svg_of(plot));
  };
  constexpr const char *kTotal = "tokens/s of all", *kConcurrency = "log2 of the concurrency";
  const auto by_concurrency = [](double (*figure)(const LoadCell&)) {
    return [figure](const LoadPoint& point, const LoadCell& cell) {
      return std::pair{std::log2(point.concurrency), figure(cell)};
    };
  };
  DSPARK_RETURN_IF_ERROR(
      write("frontier.svg", policy_plot(result, "Throughput against speed", "tokens/s of a user",
                                        kTotal, [](const LoadPoint&, const LoadCell& cell) {
                                          return std::pair{user_rate(cell), total_rate(cell)};
                                        })));
  DSPARK_RETURN_IF_ERROR(
      write("throughput.svg", policy_plot(result, "Throughput under load", kConcurrency, kTotal,
                                          by_concurrency(total_rate))));
  return write("budget.svg",
               policy_plot(result, "Drafts verified under load", kConcurrency,
                           "drafts verified, a cycle", by_concurrency(verify_length)));
}

}  // namespace dspark::apps

// simulate --plots: the frontier (the paper's figure 7), and speed and budget by load (its figure
// 8).
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/simulate.h"
#include "apps/svg_plot.h"

namespace dspark::apps {
namespace {

using simulate::Figures;

// Axes from 0 to a little above the largest value.
void fit(double& high, double& step, double most) {
  step = mark_step(most);
  high = std::max(step, std::ceil(most / step) * step);
}

template <class Point>  // point(load, policy)
Plot plot_of(const Simulation& simulation, std::string title, std::string y_label, Point point) {
  Plot plot{.title = std::move(title), .y_label = std::move(y_label)};
  double most_x = 0, most_y = 0;
  // What it is about first, so that it has the colours told apart best.
  std::vector<size_t> order(simulation.policies.size());
  for (size_t p = 0; p < order.size(); ++p) order[p] = p;
  const auto is_fixed = [&](size_t p) {
    return simulation.policies[p].planner.kind == verify::PlannerKind::kFixed;
  };
  std::stable_partition(order.begin(), order.end(), [&](size_t p) { return !is_fixed(p); });
  std::stable_partition(order.begin(), order.end(),
                        [&](size_t p) { return simulation.policies[p].name == "auto"; });
  for (const size_t p : order) {
    PlotLine line{.label = simulation.policies[p].name,
                  .faint = is_fixed(p),
                  .dashed = simulation.policies[p].priced};
    for (size_t l = 0; l < simulation.loads.size(); ++l) {
      line.points.push_back(point(l, p));
      most_x = std::max(most_x, line.points.back().first);
      most_y = std::max(most_y, line.points.back().second);
    }
    plot.lines.push_back(std::move(line));
  }
  fit(plot.x_high, plot.x_step, most_x);
  fit(plot.y_high, plot.y_step, most_y);
  return plot;
}

// Large totals in thousands.
double total_unit(const Simulation& simulation) {
  double most = 0;
  for (const auto& row : simulation.figures)
    for (const Figures& figures : row) most = std::max(most, figures.total_tok_per_s());
  return most >= 10000 ? 1000 : 1;
}

// By load: doublings of the concurrency, or arrivals.
template <class Value>  // value(figures)
Plot by_load(const Simulation& simulation, std::string title, std::string y_label, Value value) {
  const bool doubles = simulation.closed();
  Plot plot = plot_of(simulation, std::move(title), std::move(y_label), [&](size_t l, size_t p) {
    const double x = simulation.loads[l].x;
    return std::pair(doubles ? std::log2(x) : x, value(simulation.figures[l][p]));
  });
  plot.x_label = doubles ? "requests at the same time" : "requests a second";
  if (!doubles) return plot;
  plot.x_doubles = true;
  plot.x_step = 1;
  plot.x_high = 1;
  for (const SimulatedLoad& load : simulation.loads)
    plot.x_high = std::max(plot.x_high, std::ceil(std::log2(load.x)));
  return plot;
}

}  // namespace

Status write_simulation_plots(const Simulation& simulation, const std::string& folder) {
  const std::filesystem::path to = folder;
  const double unit = total_unit(simulation);
  const std::string total = unit > 1 ? "thousand tokens/s, all requests" : "tokens/s, all requests";
  Plot frontier = plot_of(simulation, "Total speed against speed per user, simulated", total,
                          [&](size_t l, size_t p) {
                            const Figures& f = simulation.figures[l][p];
                            return std::pair(f.per_user_tok_per_s(), f.total_tok_per_s() / unit);
                          });
  frontier.x_label = "tokens/s of a request";
  const Plot throughput = by_load(simulation, "Total speed by load, simulated", total,
                                  [&](const Figures& f) { return f.total_tok_per_s() / unit; });
  const Plot budget =
      by_load(simulation, "Budget by load, simulated", "draft rows of a request in a step",
              [](const Figures& f) { return f.budget(); });
  DSPARK_RETURN_IF_ERROR(write_file_atomically(to / "frontier.svg", svg_of(frontier)));
  DSPARK_RETURN_IF_ERROR(write_file_atomically(to / "throughput.svg", svg_of(throughput)));
  return write_file_atomically(to / "budget.svg", svg_of(budget));
}

}  // namespace dspark::apps

#include "apps/learn_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/svg_plot.h"

namespace dspark::apps {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr size_t kMostMetricBytes = size_t{256} << 20;

struct Rows {
  std::vector<nlohmann::json> trained, held_back;
};

Points curve(const std::vector<nlohmann::json>& rows, const std::string& key) {
  Points points;
  for (const auto& row : rows)
    if (row.contains(key) && row[key].is_number())
      points.emplace_back(row["step"].get<double>(), row[key].get<double>());
  return points;
}

std::string plot(const std::string& title, const std::string& y, std::vector<PlotLine> lines) {
  std::erase_if(lines, [](const PlotLine& line) { return line.points.empty(); });
  if (lines.empty()) return {};
  Plot plot{.title = title, .x_label = "step", .y_label = y};
  double low = lines[0].points[0].second, high = low, right = 0;
  for (const PlotLine& line : lines)
    for (const auto& [x, v] : line.points)
      low = std::min(low, v), high = std::max(high, v), right = std::max(right, x);
  plot.x_step = mark_step(right), plot.y_step = mark_step(high - low);
  plot.x_high = std::ceil(right / plot.x_step) * plot.x_step;
  plot.y_low = std::floor(low / plot.y_step) * plot.y_step;
  plot.y_high = std::max(std::ceil(high / plot.y_step) * plot.y_step, plot.y_low + plot.y_step);
  for (PlotLine& line : lines) line.radii.assign(line.points.size(), 0);
  plot.lines = std::move(lines);
  return svg_of(plot);
}

std::string both(const Rows& rows, const std::string& title, const std::string& key) {
  return plot(title, key,
              {{.label = "trained", .points = curve(rows.trained, key), .faint = true},
               {.label = "held back", .points = curve(rows.held_back, key)}});
}

std::string by_slot(const Rows& rows, const std::string& title, const std::string& stem) {
  std::vector<PlotLine> lines;
  for (int k = 0; k < 64; ++k) {
    Points points = curve(rows.held_back, fmt::format("{}@{}", stem, k));
    if (points.empty()) break;
    lines.push_back({.label = fmt::format("slot {}", k), .points = std::move(points)});
  }
  return plot(title, stem, std::move(lines));
}

}  // namespace

Status write_learn_report(const std::filesystem::path& folder) {
  DSPARK_TRY(const std::string text, read_file(folder / "metrics.jsonl", kMostMetricBytes));
  DSPARK_TRY(const std::string recipe, read_file(folder / "recipe.toml", size_t{1} << 20));
  Rows rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    auto row = nlohmann::json::parse(line, nullptr, false);
    if (!row.is_object() || !row.contains("step") || !row["step"].is_number()) continue;
    (row.value("split", "") == "held_back" ? rows.held_back : rows.trained)
        .push_back(std::move(row));
  }
  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Training run</title>"
      "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
      "svg{max-width:100%;height:auto;margin:1em 0}pre{background:#f4f4f4;padding:1em;"
      "overflow:auto}</style><h1>Training run</h1>\n";
  for (const std::string& svg :
       {both(rows, "Loss", "loss"), both(rows, "Cross-entropy", "ce_loss"),
        both(rows, "Distance", "l1_loss"),
        both(rows, "Expected accept length, temperature 1", "tau_probabilistic"),
        both(rows, "Expected accept length, greedy", "tau_greedy"),
        by_slot(rows, "Overlap by slot", "accept_rate"),
        by_slot(rows, "Most likely token agrees, by slot", "accuracy"),
        both(rows, "Confidence against overlap", "confidence_abs_error")})
    page += svg + "\n";
  page += "<h2>Recipe</h2><pre>" + xml_text(recipe) + "</pre></html>\n";
  return write_file_atomically(folder / "report.html", page);
}

}  // namespace dspark::apps

// eval --plots: acceptance by position of all suites, and of each a reliability diagram.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "apps/eval.h"
#include "apps/svg_plot.h"

namespace dspark::apps {
namespace {

// A file name of a suite's name: what is neither letter nor digit becomes '_'.
std::string file_name(const std::string& suite, const char* what) {
  std::string name = suite;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  return fmt::format("{}-{}.svg", what, name);
}

Plot acceptance_plot(const EvalResult& result, int slots) {
  Plot plot{.title = "Acceptance by position",
            .x_label = "position in the block",
            .y_label = "accepted",
            .x_low = 1,
            .x_high = std::max(2.0, static_cast<double>(slots)),
            .x_step = slots > 8 ? 2.0 : 1.0};
  for (size_t s = 0; s < result.suites.size(); ++s) {
    PlotLine prefix{.label = result.suites[s].name}, conditional{.faint = true};
    if (s == 0) conditional.label = "faint: conditional";
    for (int k = 0; k < slots; ++k) {
      const auto& drafts = result.acceptance[s].drafts;
      if (const auto rate = drafts.accept_rate(k)) prefix.points.emplace_back(k + 1, *rate);
      if (const auto rate = drafts.conditional_rate(k))
        conditional.points.emplace_back(k + 1, *rate);
    }
    plot.lines.push_back(std::move(prefix));
    plot.lines.push_back(std::move(conditional));
  }
  return plot;
}

// Dots grow with the count of their bin.
void add_line(Plot& plot, std::string label, bool faint,
              const std::vector<verify::ReliabilityBin>& bins) {
  PlotLine line{.label = std::move(label), .faint = faint};
  int64_t most = 1;
  for (const auto& bin : bins) most = std::max(most, bin.count);
  for (const auto& bin : bins) {
    line.points.emplace_back(bin.prediction, bin.outcome);
    line.radii.push_back(
        1.5 + 4.5 * std::sqrt(static_cast<double>(bin.count) / static_cast<double>(most)));
  }
  plot.lines.push_back(std::move(line));
}

// The bins of all positions together.
std::vector<verify::ReliabilityBin> pooled_bins(const verify::ConfidenceMetrics& confidence,
                                                int slots) {
  std::map<int, verify::ReliabilityBin> pooled;
  for (int k = 0; k < slots; ++k)
    for (const auto& bin : confidence.reliability(k)) {
      const auto [at, fresh] = pooled.try_emplace(bin.bin, bin);
      if (fresh) continue;
      verify::ReliabilityBin& sum = at->second;
      const auto total = static_cast<double>(sum.count + bin.count);
      const double share = static_cast<double>(bin.count) / total;
      sum.prediction += share * (bin.prediction - sum.prediction);
      sum.outcome += share * (bin.outcome - sum.outcome);
      sum.count += bin.count;
    }
  std::vector<verify::ReliabilityBin> bins;
  for (const auto& [number, bin] : pooled) bins.push_back(bin);
  return bins;
}

Plot reliability_plot(const std::string& suite, const Acceptance& acceptance, int slots) {
  Plot plot{.title = "Reliability: " + suite,
            .x_label = "predicted survival",
            .y_label = "accepted that far"};
  plot.lines.push_back({.label = "true", .points = {{0, 0}, {1, 1}}, .dashed = true});
  add_line(plot, "all positions", false, pooled_bins(acceptance.confidence, slots));
  for (int k = 0; k < slots; ++k)
    if (const auto bins = acceptance.confidence.reliability(k); !bins.empty())
      add_line(plot, fmt::format("position {}", k + 1), true, bins);
  return plot;
}

}  // namespace

Status write_eval_plots(const EvalResult& result, int slots, const std::string& folder) {
  const std::filesystem::path to = folder;
  DSPARK_RETURN_IF_ERROR(
      write_file_atomically(to / "acceptance.svg", svg_of(acceptance_plot(result, slots))));
  for (size_t s = 0; s < result.suites.size(); ++s) {
    if (!result.acceptance[s].has_confidence) continue;
    const std::string& name = result.suites[s].name;
    DSPARK_RETURN_IF_ERROR(
        write_file_atomically(to / file_name(name, "reliability"),
                              svg_of(reliability_plot(name, result.acceptance[s], slots))));
  }
  return {};
}

}  // namespace dspark::apps

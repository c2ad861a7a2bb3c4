#include "apps/reliability_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace dspark::apps {
namespace {

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

}  // namespace

Plot reliability_plot(const std::string& title, const verify::ConfidenceMetrics& confidence,
                      int slots) {
  Plot plot{.title = "Reliability: " + title,
            .x_label = "predicted survival",
            .y_label = "accepted that far"};
  plot.lines.push_back({.label = "true", .points = {{0, 0}, {1, 1}}, .dashed = true});
  add_line(plot, "all positions", false, pooled_bins(confidence, slots));
  for (int k = 0; k < slots; ++k)
    if (const auto bins = confidence.reliability(k); !bins.empty())
      add_line(plot, fmt::format("position {}", k + 1), true, bins);
  return plot;
}

}  // namespace dspark::apps

// eval --plots: acceptance by position of all suites, and of each a reliability diagram.
#include <algorithm>
#include <filesystem>

#include "apps/eval.h"
#include "apps/reliability_plot.h"
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

}  // namespace

Status write_eval_plots(const EvalResult& result, int slots, const std::string& folder) {
  const std::filesystem::path to = folder;
  DSPARK_RETURN_IF_ERROR(
      write_file_atomically(to / "acceptance.svg", svg_of(acceptance_plot(result, slots))));
  for (size_t s = 0; s < result.suites.size(); ++s) {
    const Acceptance& acceptance = result.acceptance[s];
    const std::string& name = result.suites[s].name;
    const auto write = [&](const verify::ConfidenceSample& sample, const char* file,
                           const std::string& title) -> Status {
      if (sample.cycles() == 0) return {};
      return write_file_atomically(to / file_name(name, file),
                                   svg_of(reliability_plot(title, sample.metrics(), slots)));
    };
    DSPARK_RETURN_IF_ERROR(write(acceptance.raw, "reliability", name));
    const std::string as = result.calibration != nullptr ? "calibrated" : "learned";
    DSPARK_RETURN_IF_ERROR(write(acceptance.used, ("reliability-" + as).c_str(), name + ", " + as));
  }
  return {};
}

}  // namespace dspark::apps

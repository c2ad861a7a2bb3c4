// What calibrate found, as a table, as JSON (docs/json.md) and as plots.
#include <algorithm>
#include <filesystem>

#include "apps/calibrate.h"
#include "apps/confidence_report.h"
#include "apps/reliability_plot.h"

namespace dspark::apps {
namespace {

using verify::CalibrationForm;
using verify::HeldOut;

constexpr int kMostColumns = 15;  // positions in a line of the terminal

template <class Value>  // value(k) -> std::optional<double>
std::string by_position(const char* label, int slots, Value value) {
  std::string text = fmt::format("{:12}", label);
  for (int k = 0; k < std::min(slots, kMostColumns); ++k)
    text += fmt::format(" {:>6}", number(value(static_cast<size_t>(k)), 3));
  return text + "\n";
}

std::string reason(const verify::CalibrationChoice& choice) {
  const double gain = *choice.sts.sample.metrics().summary().ece -
                      *choice.scale_offset.sample.metrics().summary().ece;
  const double brier = *choice.sts.sample.metrics().summary().brier -
                       *choice.scale_offset.sample.metrics().summary().brier;
  return fmt::format(
      "stored: {}; scale_offset lowers the ECE of sts by {:.4f} ({}), its Brier score by {:.4f} "
      "({})\n",
      verify::form_name(verify::form_of(choice.calibration)), gain,
      interval_text(choice.gain.ece, 4), brier, interval_text(choice.gain.brier, 4));
}

}  // namespace

std::string calibration_table(const ModeResult& result, size_t prompts, int slots) {
  const verify::CalibrationChoice& choice = *result.choice;
  std::string text = fmt::format(
      "\n{} at temperature {}: {} prompts, {} cycles; scored on {} prompts that were held out, {} "
      "cycles\n{:12}{}",
      verify::mode_name(result.mode), result.temperature, prompts, result.cycles,
      choice.raw.sample.prompts(), choice.raw.sample.cycles(), "", confidence_head());
  for (const auto& [label, held_out] :
       {std::pair("raw", &choice.raw), std::pair("sts", &choice.sts),
        std::pair("scale_offset", &choice.scale_offset)})
    text += fmt::format("{:12}{}", label,
                        confidence_line(held_out->sample.metrics().summary(), held_out->intervals));
  text += reason(choice) + fmt::format("{:12}", "");
  for (int k = 0; k < std::min(slots, kMostColumns); ++k)
    text += fmt::format(" {:>6}", fmt::format("@{}", k));
  text += '\n';
  const auto ece = [](const HeldOut& held_out) {
    return [&](size_t k) { return held_out.sample.metrics().at(static_cast<int>(k)).ece; };
  };
  const auto at = [](const std::vector<double>& values) {
    return [&](size_t k) { return std::optional(values[k]); };
  };
  const verify::Calibration& calibration = choice.calibration;
  text += by_position("ECE before", slots, ece(choice.raw));
  text += by_position("ECE after", slots, ece(choice.chosen()));
  text += by_position("temperature", slots, at(calibration.temperatures));
  if (!calibration.offsets.empty()) text += by_position("offset", slots, at(calibration.offsets));
  if (!calibration.weights.empty()) text += by_position("weight", slots, at(calibration.weights));
  return text;
}

Json calibration_row(const ModeResult& result, size_t prompts, int slots) {
  const verify::CalibrationChoice& choice = *result.choice;
  const auto figures = [&](const HeldOut& held_out) {
    Json json = confidence_json(held_out.sample.metrics(), held_out.intervals, slots);
    if (held_out.calibration.temperatures.empty()) return json;
    json["temperatures"] = held_out.calibration.temperatures;
    json["offsets"] = held_out.calibration.offsets;
    json["weights"] = held_out.calibration.weights;
    return json;
  };
  return {{"mode", verify::mode_name(result.mode)},
          {"temperature", result.temperature},
          {"prompts", prompts},
          {"cycles", result.cycles},
          {"tokens", result.tokens},
          {"form", verify::form_name(verify::form_of(choice.calibration))},
          {"temperatures", choice.calibration.temperatures},
          {"offsets", choice.calibration.offsets},
          {"weights", choice.calibration.weights},
          {"held_out",
           {{"prompts", choice.raw.sample.prompts()},
            {"cycles", choice.raw.sample.cycles()},
            {"ece_gain_interval", interval_json(choice.gain.ece)},
            {"brier_gain_interval", interval_json(choice.gain.brier)},
            {"raw", figures(choice.raw)},
            {"sts", figures(choice.sts)},
            {"scale_offset", figures(choice.scale_offset)}}}};
}

Status write_calibration_plots(const ModeResult& result, int slots, const std::string& folder) {
  const char* mode = verify::mode_name(result.mode);
  for (const auto& [when, held_out] :
       {std::pair("before", &result.choice->raw), std::pair("after", &result.choice->chosen())})
    DSPARK_RETURN_IF_ERROR(write_file_atomically(
        std::filesystem::path(folder) / fmt::format("reliability-{}-{}.svg", mode, when),
        svg_of(reliability_plot(fmt::format("{}, {} calibration", mode, when),
                                held_out->sample.metrics(), slots))));
  return {};
}

}  // namespace dspark::apps

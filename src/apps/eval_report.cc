// What eval found, as a table for people and rows for JSON (docs/json.md).
#include <algorithm>
#include <map>

#include "apps/bench.h"
#include "apps/confidence_report.h"
#include "apps/eval.h"

namespace dspark::apps {
namespace {

using Optional = std::optional<double>;

constexpr size_t kMostPositions = 15;  // positions in a line of the terminal

template <class Rate>  // rate(k), k from 0
Json by_position(int slots, Rate rate) {
  Json values = Json::array();
  for (int k = 0; k < slots; ++k) values.push_back(number(rate(k)));
  return values;
}

size_t name_width(const EvalResult& result) {
  size_t width = 5;
  for (const EvalSuite& suite : result.suites) width = std::max(width, suite.name.size());
  return width;
}

// "accept_rate     @0 ..." over a line of figures for each suite that has some.
template <class Rate>  // rate(acceptance, k)
std::string position_table(const EvalResult& result, int slots, const char* title, Rate rate) {
  const size_t width = name_width(result);
  const int shown = std::min(slots, static_cast<int>(kMostPositions));
  std::string text = fmt::format("\n{}\n{:{}}", title, "", width);
  for (int k = 0; k < shown; ++k) text += fmt::format(" {:>5}", fmt::format("@{}", k));
  text += '\n';
  for (size_t s = 0; s < result.suites.size(); ++s) {
    text += fmt::format("{:{}}", result.suites[s].name, width);
    for (int k = 0; k < shown; ++k)
      text += fmt::format(" {:>5}", number(rate(result.acceptance[s], k), 3));
    text += '\n';
  }
  return text;
}

// Lines for all suites, then their figures by position.
std::string confidence_table(const EvalResult& result, int slots, const std::string& title,
                             verify::ConfidenceSample Acceptance::*sample,
                             verify::QualityIntervals Acceptance::*intervals) {
  const size_t width = name_width(result);
  std::string text = fmt::format("\n{}, of survival at all positions\n{:{}}", title, "", width);
  text += confidence_head();
  for (size_t s = 0; s < result.suites.size(); ++s) {
    const Acceptance& a = result.acceptance[s];
    text += fmt::format("{:{}}", result.suites[s].name, width);
    text += confidence_line((a.*sample).metrics().summary(), a.*intervals);
  }
  using verify::ConfidenceQuality;
  const auto by_slot = [&](const char* what, auto member) {
    text += position_table(result, slots, what, [&](const Acceptance& a, int k) -> Optional {
      return (a.*sample).metrics().at(k).*member;
    });
  };
  by_slot("ECE by position", &ConfidenceQuality::ece);
  by_slot("AUC by position", &ConfidenceQuality::auc);
  by_slot("Brier score by position", &ConfidenceQuality::brier);
  return text;
}

std::string confidence_tables(const EvalResult& result, int slots) {
  const auto any = [&](verify::ConfidenceSample Acceptance::*sample) {
    return std::any_of(result.acceptance.begin(), result.acceptance.end(),
                       [&](const Acceptance& a) { return (a.*sample).cycles() > 0; });
  };
  std::string text;
  if (any(&Acceptance::raw))
    text += confidence_table(result, slots, "raw confidence", &Acceptance::raw,
                             &Acceptance::raw_intervals);
  if (!any(&Acceptance::used)) return text;
  std::string title = "confidence learned on the way";
  if (result.calibration != nullptr) {
    const verify::ModeCalibration& calibration = *result.calibration;
    title = fmt::format("confidence calibrated for {} at temperature {} ({})",
                        verify::mode_name(calibration.mode), calibration.temperature,
                        verify::form_name(verify::form_of(calibration.calibration)));
  }
  return text +
         confidence_table(result, slots, title, &Acceptance::used, &Acceptance::used_intervals);
}

double tokens_per_s(const Timing& timing, bool drafts) {
  double tokens = 0, seconds = 0;
  for (const GroupTime& group : timing.groups) {
    tokens += static_cast<double>(group.tokens);
    seconds += group.plain_ms / 1e3 / (drafts ? group.speed_up : 1);
  }
  return seconds > 0 ? tokens / seconds : 0;
}

std::vector<double> speed_ups(const Timing& timing) {
  std::vector<double> values;
  for (const GroupTime& group : timing.groups) values.push_back(group.speed_up);
  std::sort(values.begin(), values.end());
  return values;
}

std::string timing_table(const EvalResult& result) {
  if (result.timing.empty()) return {};
  const size_t width = name_width(result);
  std::string text = fmt::format(
      "\nspeed with planner {}, tokens/s; draft and verify in steps without drafts\n"
      "{:{}} {:>8} {:>8} {:>8} {:>13} {:>6} {:>6}\n",
      result.timed_planner, "", width, "without", "with", "speed-up", "of prompts", "draft",
      "verify");
  for (size_t s = 0; s < result.suites.size(); ++s) {
    const Timing& timing = result.timing[s];
    const auto each = speed_ups(timing);
    const StepCosts costs = step_costs(timing);
    text += fmt::format("{:{}} {:>8.1f} {:>8.1f} {:>8} {:>13} {:>6} {:>6}\n", result.suites[s].name,
                        width, tokens_per_s(timing, false), tokens_per_s(timing, true),
                        number(speed_up(timing), 3),
                        each.empty() ? std::string("-")
                                     : fmt::format("{:.2f} to {:.2f}", each.front(), each.back()),
                        number(costs.draft, 3), number(costs.verify, 3));
  }
  return text;
}

// The raw confidences' figures, with those that the engine went by among them.
Json both_json(const Acceptance& a, const verify::ModeCalibration* calibration, int slots) {
  if (a.used.cycles() == 0) return nullptr;
  Json json = a.raw.cycles() > 0 ? confidence_json(a.raw.metrics(), a.raw_intervals, slots)
                                 : Json::object();
  json["calibrated"] = json["learned"] = nullptr;
  json[calibration != nullptr ? "calibrated" : "learned"] =
      confidence_json(a.used.metrics(), a.used_intervals, slots);
  return json;
}

Json timing_json(const Timing& timing, const std::string& planner) {
  const StepCosts costs = step_costs(timing);
  Json rows = Json::array();
  for (const auto& step : costs.by_rows)
    rows.push_back({{"rows", step.rows}, {"steps", step.steps}, {"forward_ms", step.forward_ms}});
  int64_t tokens = 0;
  for (const GroupTime& group : timing.groups) tokens += group.tokens;
  return {{"planner", planner},
          {"tokens", tokens},
          {"plain_tok_per_s", tokens_per_s(timing, false)},
          {"draft_tok_per_s", tokens_per_s(timing, true)},
          {"speed_up", number(speed_up(timing))},
          {"speed_ups", speed_ups(timing)},
          {"same_text", timing.same_text},
          {"plain_step_ms", costs.plain_ms},
          {"draft_cost", number(costs.draft)},
          {"verify_cost", number(costs.verify)},
          {"steps", std::move(rows)}};
}

}  // namespace

std::optional<double> speed_up(const Timing& timing) {
  const double plain = tokens_per_s(timing, false);
  if (plain <= 0) return std::nullopt;
  return tokens_per_s(timing, true) / plain;
}

StepCosts step_costs(const Timing& timing) {
  StepCosts costs;
  if (timing.plain_steps.empty()) return costs;
  std::vector<double> plain_ms, plain_forward_ms, draft_ms;
  for (const StepTime& step : timing.plain_steps)
    plain_ms.push_back(step.ms), plain_forward_ms.push_back(step.forward_ms);
  costs.plain_ms = median(std::move(plain_ms));
  std::map<int, std::vector<double>> forward_ms;
  for (const StepTime& step : timing.draft_steps) {
    forward_ms[step.rows].push_back(step.forward_ms);
    if (step.drafted) draft_ms.push_back(step.draft_ms);
  }
  if (!draft_ms.empty()) costs.draft = median(std::move(draft_ms)) / costs.plain_ms;
  double sum = 0;
  for (auto& [rows, times] : forward_ms) {
    costs.by_rows.push_back({rows, times.size(), median(std::move(times))});
    sum += static_cast<double>(costs.by_rows.back().steps) * costs.by_rows.back().forward_ms;
  }
  if (!timing.draft_steps.empty())
    costs.verify =
        sum / static_cast<double>(timing.draft_steps.size()) / median(std::move(plain_forward_ms));
  return costs;
}

std::string eval_table(const EvalResult& result, int slots) {
  const size_t width = name_width(result);
  std::string text = fmt::format("{:{}} {:>7} {:>8} {:>9} {:>10} {:>11}\n", "", width, "prompts",
                                 "tokens", "#propose", "accept_len", "verify_rate");
  for (size_t s = 0; s < result.suites.size(); ++s) {
    const Acceptance& a = result.acceptance[s];
    text +=
        fmt::format("{:{}} {:>7} {:>8} {:>9} {:>10.3f} {:>11.3f}\n", result.suites[s].name, width,
                    a.prompts, a.tokens, fmt::format("{:.2f}+1", a.drafts.proposed_length()),
                    a.drafts.accept_length(), a.drafts.verify_rate());
  }
  text += position_table(result, slots, "accept_rate: accepted that far, of those that proposed it",
                         [](const Acceptance& a, int k) { return a.drafts.accept_rate(k); });
  text += position_table(result, slots, "accepted, of those that accepted all before it",
                         [](const Acceptance& a, int k) { return a.drafts.conditional_rate(k); });
  return text + confidence_tables(result, slots) + timing_table(result);
}

Json eval_rows(const EvalResult& result, int slots) {
  Json rows = Json::array();
  for (size_t s = 0; s < result.suites.size(); ++s) {
    const Acceptance& a = result.acceptance[s];
    const EvalSuite& suite = result.suites[s];
    rows.push_back(
        {{"suite", suite.name},
         {"file", suite.file.empty() ? Json(nullptr) : Json(suite.file)},
         {"file_rows", suite.rows},
         {"prompts", a.prompts},
         {"tokens", a.tokens},
         {"cycles", a.drafts.cycles()},
         {"tau", a.drafts.accept_length()},
         {"propose", a.drafts.proposed_length()},
         {"verify_rate", a.drafts.verify_rate()},
         {"accept_rate", by_position(slots, [&](int k) { return a.drafts.accept_rate(k); })},
         {"conditional_rate",
          by_position(slots, [&](int k) { return a.drafts.conditional_rate(k); })},
         {"confidence", both_json(a, result.calibration, slots)},
         {"timing", result.timing.empty() ? Json(nullptr)
                                          : timing_json(result.timing[s], result.timed_planner)}});
  }
  return rows;
}

}  // namespace dspark::apps

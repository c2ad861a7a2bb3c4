// What eval found, as a table for people and rows for JSON (docs/json.md).
#include <algorithm>
#include <map>

#include "apps/bench.h"
#include "apps/eval.h"

namespace dspark::apps {
namespace {

using Optional = std::optional<double>;

constexpr size_t kMostColumns = 15;  // positions in a line of the terminal

std::string number(Optional value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : std::string("-");
}
Json number(Optional value) { return value ? Json(*value) : Json(nullptr); }

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
  const int shown = std::min(slots, static_cast<int>(kMostColumns));
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

std::string confidence_table(const EvalResult& result, int slots) {
  if (std::none_of(result.acceptance.begin(), result.acceptance.end(),
                   [](const Acceptance& a) { return a.has_confidence; }))
    return {};
  const size_t width = name_width(result);
  std::string text = fmt::format(
      "\nconfidence, of survival at all positions\n{:{}} {:>6} {:>6} "
      "{:>6} {:>9} {:>8}\n",
      "", width, "ECE", "AUC", "Brier", "predicted", "accepted");
  for (size_t s = 0; s < result.suites.size(); ++s) {
    const auto all = result.acceptance[s].confidence.summary();
    text += fmt::format("{:{}} {:>6} {:>6} {:>6} {:>9} {:>8}\n", result.suites[s].name, width,
                        number(all.ece, 3), number(all.auc, 3), number(all.brier, 3),
                        number(all.prediction, 3), number(all.outcome, 3));
  }
  const auto quality = [](const char* title, auto member) {
    return std::pair(title, [member](const Acceptance& a, int k) -> Optional {
      return a.confidence.at(k).*member;
    });
  };
  using verify::ConfidenceQuality;
  for (const auto& [title, rate] : {quality("ECE by position", &ConfidenceQuality::ece),
                                    quality("AUC by position", &ConfidenceQuality::auc),
                                    quality("Brier score by position", &ConfidenceQuality::brier)})
    text += position_table(result, slots, title, rate);
  return text;
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

Json confidence_json(const Acceptance& acceptance, int slots) {
  const auto quality = [](const verify::ConfidenceQuality& q) {
    return Json{{"count", q.count},
                {"ece", number(q.ece)},
                {"auc", number(q.auc)},
                {"brier", number(q.brier)},
                {"predicted", number(q.prediction)},
                {"accepted", number(q.outcome)}};
  };
  if (!acceptance.has_confidence) return nullptr;
  Json json = quality(acceptance.confidence.summary());
  Json positions = Json::array();
  for (int k = 0; k < slots; ++k) {
    Json position = quality(acceptance.confidence.at(k));
    Json bins = Json::array();
    for (const auto& bin : acceptance.confidence.reliability(k))
      bins.push_back({{"bin", bin.bin},
                      {"range", {bin.low, bin.high}},
                      {"predicted", bin.prediction},
                      {"accepted", bin.outcome},
                      {"count", bin.count}});
    position["reliability"] = std::move(bins);
    positions.push_back(std::move(position));
  }
  json["by_position"] = std::move(positions);
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
  return text + confidence_table(result, slots) + timing_table(result);
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
         {"confidence", confidence_json(a, slots)},
         {"timing", result.timing.empty() ? Json(nullptr)
                                          : timing_json(result.timing[s], result.timed_planner)}});
  }
  return rows;
}

}  // namespace dspark::apps

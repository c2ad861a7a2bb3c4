#include "serve/metrics.h"

#include <algorithm>

namespace dspark::serve {
namespace {

std::string head(const std::string& name, const std::string& help, const char* type) {
  return fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

template <class Number>
std::string one(const char* name, const char* help, const char* type, Number value) {
  return head(name, help, type) + fmt::format("{} {}\n", name, value);
}

}  // namespace

void Histogram::add(double seconds) {
  const auto bound = std::lower_bound(kBounds_s.begin(), kBounds_s.end(), seconds);
  if (bound != kBounds_s.end()) ++counts_[static_cast<size_t>(bound - kBounds_s.begin())];
  ++all_;
  sum_ += seconds;
}

std::string Histogram::text(const std::string& name, const std::string& help) const {
  std::string text = head(name, help, "histogram");
  int64_t below = 0;
  for (size_t i = 0; i < kBounds_s.size(); ++i)
    text += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, kBounds_s[i], below += counts_[i]);
  return text + fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name,
                            all_, sum_);
}

std::string Metrics::text(const WorkerState& w) const {
  std::string text = head("dspark_http_replies_total", "Replies by route and status.", "counter");
  for (const auto& [key, count] : replies)
    text += fmt::format("dspark_http_replies_total{{route=\"{}\",status=\"{}\"}} {}\n", key.first,
                        key.second, count);
  constexpr const char *kCounter = "counter", *kGauge = "gauge";
  text += one("dspark_connections", "Open connections.", kGauge, connections);
  text += one("dspark_generations", "Calls that are being answered.", kGauge, generations);
  text += one("dspark_disconnects_total", "Clients that left before their answer's end.", kCounter,
              disconnects);
  text +=
      one("dspark_refused_total", "Calls refused because too many were there.", kCounter, refused);
  text += one("dspark_requests_running", "Requests in the batch.", kGauge, w.running);
  text += one("dspark_requests_waiting", "Requests waiting for the batch.", kGauge, w.waiting);
  text += one("dspark_requests_total", "Finished requests.", kCounter, w.requests);
  text += one("dspark_requests_failed_total", "Of them in error.", kCounter, w.failed);
  text += one("dspark_requests_cancelled_total", "Of them cancelled.", kCounter, w.cancelled);
  text += one("dspark_preemptions_total", "Requests that gave their pages up for a while.",
              kCounter, w.preemptions);
  text += one("dspark_prompt_tokens_total", "Tokens of prompts.", kCounter, w.prompt_tokens);
  text +=
      one("dspark_cached_tokens_total", "Of them found in the cache.", kCounter, w.cached_tokens);
  text += one("dspark_tokens_total", "Tokens of answers.", kCounter, w.tokens);
  text += one("dspark_steps_total", "Forward passes of the target.", kCounter, w.steps);
  text += one("dspark_step_rows_total", "Rows of all of them.", kCounter, w.rows);
  text += one("dspark_step_seconds_total", "Time in steps.", kCounter, w.step_seconds);
  text += one("dspark_cycles_total", "Cycles of finished requests.", kCounter, w.cycles);
  text += one("dspark_drafted_total", "Slots drafted.", kCounter, w.drafted);
  text += one("dspark_verified_total", "Drafts that the target checked.", kCounter, w.verified);
  text += one("dspark_accepted_total", "Drafts that stood.", kCounter, w.accepted);
  text += one("dspark_trimmed_total", "Drafts that the planner kept from the target.", kCounter,
              w.drafted - w.verified);
  text += one("dspark_expected_accepted_total",
              "Survival of the checked drafts, summed: dspark_accepted_total if it is true.",
              kCounter, w.expected_accepted);
  text +=
      one("dspark_planned_steps_total", "Steps that a planner planned.", kCounter, w.planned_steps);
  text += one("dspark_planned_seconds_total", "Time in them.", kCounter, w.planned_seconds);
  text += one("dspark_predicted_seconds_total", "Time that the cost table gave them.", kCounter,
              w.predicted_seconds);
  text +=
      one("dspark_planned_tokens_total", "Tokens that they committed.", kCounter, w.planned_tokens);
  text += one("dspark_expected_tokens_total", "Tokens that the planner expected of them.", kCounter,
              w.expected_tokens);
  const engine::StepStats& last = w.last_step;
  text += one("dspark_step_ms", "The last step.", kGauge, last.ms);
  text += one("dspark_step_predicted_ms", "The last step by the cost table; 0: not planned.",
              kGauge, last.predicted_ms);
  text += one("dspark_step_rows", "Rows of the last step.", kGauge, last.rows);
  text += one("dspark_budget_rows", "Draft rows that its plan allowed.", kGauge, last.budget);
  text +=
      one("dspark_budget_lag_steps", "Age of the confidences behind its budget.", kGauge, last.lag);
  text += one("dspark_cache_pages", "Pages of the cache.", kGauge, w.pages);
  text += one("dspark_cache_pages_free", "Of them free.", kGauge, w.free_pages);
  text += one("dspark_cache_pages_known", "Of them known as beginnings of texts.", kGauge,
              w.known_pages);
  const auto by_sampling = [&](const char* name, const char* help, const char* type, auto value) {
    text += head(name, help, type);
    for (const bool greedy : {true, false})
      text += fmt::format("{}{{temperature=\"{}\"}} {}\n", name, greedy ? "0" : "above 0",
                          value(w.confidence[greedy ? 0 : 1]));
  };
  using Confidence = WorkerState::Confidence;
  by_sampling("dspark_confidence_slots_total", "Slots whose confidence was held against what came.",
              kCounter, [](const Confidence& c) { return c.slots; });
  by_sampling("dspark_confidence_ece", "How far confidences have lately been off.", kGauge,
              [](const Confidence& c) { return c.ece; });
  by_sampling("dspark_confidence_learned",
              "1 where confidences are learned: not calibrated, or drifted since.", kGauge,
              [](const Confidence& c) { return c.learned ? 1 : 0; });
  text += first_token.text("dspark_time_to_first_token_seconds", "From a call to its first token.");
  text += between_tokens.text("dspark_inter_token_seconds", "Between a stream's events, a token.");
  text += whole.text("dspark_generation_seconds", "From a call to its answer's end.");
  return text;
}

}  // namespace dspark::serve

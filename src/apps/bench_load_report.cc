// What a load bench found, as a table for people and rows for JSON (docs/json.md).
#include <algorithm>
#include <cmath>

#include "apps/bench_load.h"
#include "apps/confidence_report.h"

namespace dspark::apps {
namespace {

// All runs of a cell together.
LoadRun pooled(const LoadCell& cell) {
  LoadRun all;
  const auto append = [](std::vector<double>& to, const std::vector<double>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const LoadRun& run : cell.runs) {
    all.seconds += run.seconds, all.all_tokens += run.all_tokens, all.tokens += run.tokens;
    all.cycles += run.cycles, all.cycle_tokens += run.cycle_tokens;
    append(all.user_tok_per_s, run.user_tok_per_s);
    append(all.first_token_ms, run.first_token_ms);
    append(all.inter_token_ms, run.inter_token_ms);
    append(all.gap_ms, run.gap_ms);
    all.steps += run.steps, all.rows += run.rows, all.request_cycles += run.request_cycles;
    all.drafted += run.drafted, all.verified += run.verified, all.accepted += run.accepted;
    all.running += run.running, all.planned_steps += run.planned_steps;
    all.planned_tokens += run.planned_tokens, all.planned_ms += run.planned_ms;
    all.predicted_ms += run.predicted_ms, all.expected_tokens += run.expected_tokens;
  }
  return all;
}

double ratio(double a, double b) { return b > 0 ? a / b : 0; }
double ratio(int64_t a, int64_t b) { return ratio(static_cast<double>(a), static_cast<double>(b)); }

Json percentiles_json(const std::vector<double>& values) {
  return {{"p50", percentile(values, 50)},
          {"p90", percentile(values, 90)},
          {"p99", percentile(values, 99)}};
}

std::vector<double> rates(const LoadCell& cell) {
  std::vector<double> values;
  for (const LoadRun& run : cell.runs) values.push_back(run.total_tok_per_s());
  return values;
}

// tokens/s by round; null where none of a set's requests ended.
Json sets_json(const LoadResult& result, const LoadCell& cell) {
  Json sets = Json::object();
  for (size_t suite = 0; suite < result.suites.size(); ++suite) {
    Json& by_round = sets[result.suites[suite]] = Json::array();
    for (const LoadRun& run : cell.runs) {
      const SuiteTime& time = run.suites[suite];
      by_round.push_back(time.tokens > 0 ? Json(time.tok_per_s()) : Json(nullptr));
    }
  }
  return sets;
}

Json cell_json(const LoadResult& result, const LoadCell& cell) {
  const LoadPoint& point = result.points[cell.point];
  const LoadRun all = pooled(cell);
  Json row = {{"suite", "load"},
              {"case", point.open ? "open" : "closed"},
              {"policy", result.policies[cell.policy].name}};
  if (point.open) {
    row["percent"] = point.percent;
    row["arrivals_per_s"] = point.arrivals_per_s;
  } else {
    row["concurrency"] = point.concurrency;
  }
  row["requests"] = point.requests;
  row["tokens"] = all.tokens;
  row["seconds"] = all.seconds;
  row["total_tok_per_s"] = total_rate(cell);
  row["total_tok_per_s_by_round"] = rates(cell);
  row["user_tok_per_s"] = user_rate(cell);
  if (!point.open && result.suites.size() > 1) row["sets"] = sets_json(result, cell);
  row["first_token_ms"] = percentiles_json(all.first_token_ms);
  row["inter_token_ms"] = percentiles_json(all.inter_token_ms);
  row["gap_ms"] = percentiles_json(all.gap_ms);
  row["steps"] = all.steps;
  row["rows"] = all.rows;
  row["rows_per_step"] = ratio(all.rows, all.steps);
  row["running"] = ratio(all.running, all.steps);
  row["drafted"] = all.drafted;
  row["verified"] = all.verified;
  row["accepted"] = all.accepted;
  row["wasted"] = all.verified - all.accepted;
  row["verify_length"] = ratio(all.verified, all.request_cycles);
  row["tau"] = ratio(all.cycle_tokens, all.cycles);
  row["planned"] = {{"steps", all.planned_steps},
                    {"ms", all.planned_ms},
                    {"predicted_ms", all.predicted_ms},
                    {"tokens", all.planned_tokens},
                    {"expected_tokens", all.expected_tokens}};
  return row;
}

std::string cell_line(const LoadResult& result, const LoadCell& cell) {
  const LoadRun all = pooled(cell);
  const auto pair = [](const std::vector<double>& values) {
    return fmt::format("{:.1f}/{:.1f}", percentile(values, 50), percentile(values, 99));
  };
  return fmt::format("  {:<14} {:>8.1f} {:>8.1f} {:>15} {:>13} {:>9.2f} {:>6.2f} {:>9} {:>9}\n",
                     result.policies[cell.policy].name, total_rate(cell), user_rate(cell),
                     pair(all.first_token_ms), pair(all.gap_ms), ratio(all.rows, all.steps),
                     ratio(all.cycle_tokens, all.cycles), all.verified,
                     all.verified - all.accepted);
}

std::string comparison_line(const LoadResult& result, const LoadComparison& comparison) {
  const auto& best = comparison.baselines;
  std::string where =
      comparison.point ? result.points[*comparison.point].name() : "all, geometric mean";
  if (comparison.suite) where += ", " + result.suites[*comparison.suite];
  return fmt::format("{:<14} {:<25} {:>6.3f} ({:.3f} to {:.3f})  {}\n",
                     result.policies[comparison.policy].name, where, comparison.ratio,
                     comparison.low, comparison.high,
                     best[0] == best[1] ? best[0] : best[0] + ", " + best[1]);
}

Json comparison_json(const LoadResult& result, const LoadComparison& comparison) {
  Json row = {{"suite", "load"},
              {"case", comparison.point ? "against_best" : "against_best_of_all"},
              {"policy", result.policies[comparison.policy].name},
              {"concurrency", comparison.point ? Json(result.points[*comparison.point].concurrency)
                                               : Json(nullptr)},
              {"best", comparison.baselines},
              {"ratio", comparison.ratio},
              {"low", comparison.low},
              {"high", comparison.high},
              {"ratio_by_round", comparison.ratios}};
  if (comparison.suite) {
    row["case"] = "set_against_best";
    row["set"] = result.suites[*comparison.suite];
  }
  return row;
}

}  // namespace

double percentile(std::vector<double> values, double percent) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

double total_rate(const LoadCell& cell) { return median(rates(cell)); }

double user_rate(const LoadCell& cell) {
  std::vector<double> values;
  for (const LoadRun& run : cell.runs)
    values.insert(values.end(), run.user_tok_per_s.begin(), run.user_tok_per_s.end());
  return percentile(std::move(values), 50);
}

namespace {

void add_comparisons(const LoadResult& result, BenchResult& report) {
  const auto comparisons = compare_policies(result);
  if (comparisons.empty()) return;
  report.table +=
      "\nagainst the best of off and fixed, picked by the other half of the rounds: median of the "
      "paired ratios\nof all tokens/s (95 % interval), the picked\n";
  std::string by_set;
  for (const LoadComparison& comparison : comparisons) {
    report.rows.push_back(comparison_json(result, comparison));
    (comparison.suite ? by_set : report.table) += comparison_line(result, comparison);
  }
  if (by_set.empty()) return;
  report.table += "the same by set, of tokens/s while its requests are there\n" + by_set;
}

void add_frontier(const LoadResult& result, BenchResult& report) {
  const LoadFrontier frontier = load_frontier(result);
  if (frontier.floors.empty()) return;
  const auto start = [&](const char* what, size_t policy) {
    Json row = {{"suite", "load"}, {"case", what}, {"policy", result.policies[policy].name}};
    return row;
  };
  std::string head;
  std::vector<std::string> lines(result.policies.size());
  for (const LoadFloor& floor : frontier.floors) {
    if (floor.policy == frontier.floors.front().policy) head += fmt::format(" {:>8}", floor.share);
    lines[floor.policy] += fmt::format(" {:>8}", number(floor.total_tok_per_s, 1));
    Json row = start("floor", floor.policy);
    row["share"] = floor.share;
    row["user_tok_per_s"] = floor.user_tok_per_s;
    row["total_tok_per_s"] = number(floor.total_tok_per_s);
    report.rows.push_back(std::move(row));
  }
  report.table += "\nall tokens/s while a user has at least this share of off's speed alone\n";
  report.table += fmt::format("  {:14}{}\n", "", head);
  for (size_t policy = 0; policy < lines.size(); ++policy)
    report.table += fmt::format("  {:14}{}\n", result.policies[policy].name, lines[policy]);
  for (const LoadLevel& level : frontier.levels) {
    std::optional<double> over_off;
    if (level.user_tok_per_s && level.off_user_tok_per_s)
      over_off = *level.user_tok_per_s / *level.off_user_tok_per_s;
    report.table +=
        fmt::format("{} at {} times its throughput alone: a user's speed is {} of off's\n",
                    result.policies[level.policy].name, level.level, number(over_off, 3));
    Json row = start("level", level.policy);
    row["level"] = level.level;
    row["total_tok_per_s"] = level.total_tok_per_s;
    row["user_tok_per_s"] = number(level.user_tok_per_s);
    row["off_user_tok_per_s"] = number(level.off_user_tok_per_s);
    row["ratio"] = number(over_off);
    report.rows.push_back(std::move(row));
  }
  for (const LoadEnvelope& envelope : frontier.envelopes) {
    report.table +=
        fmt::format("{} at worst: {} of the best other policy's speed at its throughput\n",
                    result.policies[envelope.policy].name, number(envelope.ratio, 3));
    Json row = start("envelope", envelope.policy);
    row["ratio"] = number(envelope.ratio);
    report.rows.push_back(std::move(row));
  }
}

}  // namespace

BenchResult load_report(const LoadResult& result) {
  BenchResult report;
  report.table =
      "tokens/s of all and of a user; first token and gaps between a user's tokens in ms, "
      "p50/p99;\nrows a step, tokens a cycle, drafts verified and of them wasted\n";
  for (size_t point = 0; point < result.points.size(); ++point) {
    report.table += fmt::format("{:<16} {:>8} {:>8} {:>15} {:>13} {:>9} {:>6} {:>9} {:>9}\n",
                                result.points[point].name(), "all/s", "user/s", "first", "gaps",
                                "rows/step", "tau", "verified", "wasted");
    for (size_t policy = 0; policy < result.policies.size(); ++policy) {
      const LoadCell& cell = result.cell(point, policy);
      report.rows.push_back(cell_json(result, cell));
      report.table += cell_line(result, cell);
    }
  }
  add_comparisons(result, report);
  add_frontier(result, report);
  return report;
}

}  // namespace dspark::apps

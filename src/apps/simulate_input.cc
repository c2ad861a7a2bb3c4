// What simulate runs on: outcomes, costs, loads.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "apps/number_table.h"
#include "apps/outcome_file.h"
#include "apps/simulate.h"

namespace dspark::apps {
namespace {

using Points = std::vector<verify::CostCurve::Point>;
constexpr size_t kMostTableBytes = size_t{64} << 20;
constexpr int kMostCount = 1 << 24;  // rows of a table, tokens of a request
constexpr int kDefaultTokens = 256;
constexpr size_t kUsualSlots = 7;  // where one acceptance is given for all

Status check_curve(const Points& points, const std::string& what) {
  if (points.size() < 2) return fail("{}: {} points, expected 2 or more", what, points.size());
  for (size_t i = 1; i < points.size(); ++i)
    if (points[i].count <= points[i - 1].count)
      return fail("{}: {} comes after {}, expected rising counts", what, points[i].count,
                  points[i - 1].count);
  return {};
}

Result<verify::CostCurve::Point> point_of(double count, double value, bool is_rate,
                                          const std::string& place) {
  if (!(count >= 1 && count <= kMostCount) || count != std::floor(count))
    return fail("{}: a count of {}, expected a whole number from 1 to {}", place, count,
                kMostCount);
  const double ms = is_rate ? 1e3 / value : value;
  if (!(value > 0) || !std::isfinite(ms))
    return fail("{}: {}, expected a number above 0", place, value);
  return verify::CostCurve::Point{static_cast<int>(count), ms};
}

Result<Points> curve_of(const Json& list, bool is_rate, const std::string& place) {
  Points points;
  if (!list.is_array())
    return fail("{}: expected [[count, value], ...], found {}", place, list.type_name());
  for (const Json& pair : list) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number() || !pair[1].is_number())
      return fail("{}[{}]: expected [count, value]", place, points.size());
    DSPARK_TRY(points.emplace_back(),
               point_of(pair[0].get<double>(), pair[1].get<double>(), is_rate,
                        fmt::format("{}[{}]", place, points.size())));
  }
  DSPARK_RETURN_IF_ERROR(check_curve(points, place));
  return points;
}

// As `dspark profile --json` writes it; steps_per_s in the place of rows is the same by its
// inverse.
Result<verify::CostPoints> costs_of_json(const Json& json, const std::string& file) {
  const bool rates = json.contains("steps_per_s");
  if (rates == json.contains("rows"))
    return fail("{}: expected one of \"rows\": [[rows, ms], ...] and \"steps_per_s\"", file);
  const char* key = rates ? "steps_per_s" : "rows";
  verify::CostPoints points;
  DSPARK_TRY(points.rows, curve_of(json[key], rates, fmt::format("{}: \"{}\"", file, key)));
  if (json.contains("drafts") && !json["drafts"].empty()) {
    DSPARK_TRY(points.drafts, curve_of(json["drafts"], false, file + ": \"drafts\""));
  }
  return points;
}

Result<verify::CostPoints> costs_of_table(const std::string& text, const std::string& file) {
  DSPARK_TRY(const NumberTable table,
             parse_number_table(text, file, {"rows", "ms", "steps_per_s"}));
  if (!table.has[0] || table.has[1] == table.has[2])
    return fail("{}: expected the columns rows and one of ms and steps_per_s", file);
  const size_t column = table.has[1] ? 1 : 2;
  verify::CostPoints points;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    const std::string place = fmt::format("{}:{}", file, table.lines[i]);
    if (!row[0] || !row[column]) return fail("{}: a value is missing", place);
    DSPARK_TRY(points.rows.emplace_back(), point_of(*row[0], *row[column], column == 2, place));
  }
  DSPARK_RETURN_IF_ERROR(check_curve(points.rows, file));
  return points;
}

// "0.9,0.8,0.8": a slot's chance each; "0.8": of all.
Result<simulate::Kind> kind_of(const std::string& text) {
  simulate::Kind kind;
  for (size_t from = 0; from <= text.size();) {
    const size_t end = std::min(text.find(',', from), text.size());
    double value = 0;
    const char *begin = text.data() + from, *stop = text.data() + end;
    const auto [last, error] = std::from_chars(begin, stop, value);
    if (error != std::errc() || last != stop || !(value > 0 && value < 1))
      return fail("--acceptance {}: '{}' is not a number above 0 and below 1", text,
                  text.substr(from, end - from));
    kind.acceptance.push_back(value);
    from = end + 1;
  }
  if (kind.acceptance.size() == 1) kind.acceptance.assign(kUsualSlots, kind.acceptance[0]);
  return kind;
}

Status take_outcomes(const SimulateArguments& arguments, Simulation& simulation) {
  DSPARK_TRY(Outcomes outcomes, read_outcomes(arguments.outcomes));
  simulation.recording = std::move(outcomes.recording);
  simulation.mode = outcomes.mode;
  simulation.source = fmt::format("{} with drafter {}, {} verification", outcomes.model,
                                  outcomes.drafter, verify::mode_name(outcomes.mode));
  simulation.source_json = {
      {"file", arguments.outcomes}, {"model", outcomes.model}, {"drafter", outcomes.drafter}};
  return {};
}

Status make_outcomes(const SimulateArguments& arguments, Simulation& simulation) {
  simulate::Synthetic spec{.spread = arguments.spread,
                           .tokens = arguments.tokens > 0 ? arguments.tokens : kDefaultTokens,
                           .seed = arguments.seed};
  for (const std::string& text : arguments.acceptance) {
    DSPARK_TRY(spec.kinds.emplace_back(), kind_of(text));
  }
  simulation.recording = simulate::synthetic(spec);
  simulation.source = fmt::format("requests of acceptance {}, spread {}",
                                  fmt::join(arguments.acceptance, " and "), arguments.spread);
  simulation.source_json = {{"acceptance", arguments.acceptance}, {"spread", arguments.spread}};
  if (!arguments.verify.empty()) {
    DSPARK_TRY(simulation.mode, verify::parse_mode(arguments.verify));
  }
  return {};
}

// Off, the odd lengths and the longest, auto, and what bounds it.
std::vector<std::string> usual_policies(int slots, bool closed) {
  std::vector<std::string> names{"off"};
  for (int n = 1; n < slots; n += 2) names.push_back(fmt::format("fixed:{}", n));
  names.push_back(fmt::format("fixed:{}", slots));
  names.push_back("auto");
  if (closed) names.insert(names.end(), {"ideal", "oracle"});
  return names;
}

Result<std::vector<SimulatedLoad>> loads_of(const SimulateArguments& arguments) {
  std::vector<SimulatedLoad> loads;
  if (!arguments.trace.empty()) {
    DSPARK_TRY(auto arrivals, read_trace(arguments.trace, arguments));
    loads.push_back({arguments.trace, 0, {{"trace", arguments.trace}}, 0, std::move(arrivals)});
    return loads;
  }
  for (const double rate : arguments.arrivals)
    loads.push_back({fmt::format("{}/s", rate),
                     rate,
                     {{"arrivals_per_s", rate}},
                     0,
                     simulate::poisson(rate, arguments.requests, arguments.prompt_tokens,
                                       arguments.tokens, arguments.seed)});
  if (!loads.empty()) return loads;
  std::vector<int> counts = arguments.concurrency;
  for (int n = 1; arguments.concurrency.empty() && n <= 256; n *= 2) counts.push_back(n);
  for (const int n : counts)
    loads.push_back({fmt::format("{}", n), static_cast<double>(n), {{"concurrency", n}}, n});
  return loads;
}

}  // namespace

Result<verify::CostPoints> read_cost_points(const std::string& file, double draft_share) {
  DSPARK_TRY(const std::string text, read_file(file, kMostTableBytes));
  const Json json = Json::parse(text, nullptr, false);
  auto points = json.is_object() ? costs_of_json(json, file) : costs_of_table(text, file);
  if (!points || draft_share < 0) return points;
  points->drafts.clear();
  if (draft_share == 0) return points;
  for (const auto& [count, ms] : points->rows) points->drafts.push_back({count, draft_share * ms});
  return points;
}

Result<std::vector<simulate::Arrival>> read_trace(const std::string& file,
                                                  const SimulateArguments& arguments) {
  DSPARK_TRY(const std::string text, read_file(file, kMostTableBytes));
  DSPARK_TRY(const NumberTable table,
             parse_number_table(text, file, {"at_ms", "prompt_tokens", "tokens"}));
  std::vector<simulate::Arrival> arrivals;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    const std::string place = fmt::format("{}:{}", file, table.lines[i]);
    if (!row[0]) return fail("{}: at_ms is missing", place);
    const auto count = [&](size_t column, int otherwise) -> Result<int> {
      if (!row[column]) return otherwise;
      if (!(*row[column] >= 0 && *row[column] <= kMostCount) ||
          *row[column] != std::floor(*row[column]))
        return fail("{}: {} tokens, expected a whole number from 0 to {}", place, *row[column],
                    kMostCount);
      return static_cast<int>(*row[column]);
    };
    simulate::Arrival arrival{*row[0]};
    DSPARK_TRY(arrival.prompt_tokens, count(1, arguments.prompt_tokens));
    DSPARK_TRY(arrival.tokens, count(2, arguments.tokens));
    arrivals.push_back(arrival);
  }
  std::stable_sort(arrivals.begin(), arrivals.end(),
                   [](const auto& a, const auto& b) { return a.at_ms < b.at_ms; });
  return arrivals;
}

Result<Simulation> read_simulation(const SimulateArguments& arguments) {
  Simulation simulation;
  DSPARK_RETURN_IF_ERROR(arguments.outcomes.empty() ? make_outcomes(arguments, simulation)
                                                    : take_outcomes(arguments, simulation));
  DSPARK_TRY(simulation.costs, read_cost_points(arguments.costs, arguments.draft_share));
  DSPARK_TRY(simulation.loads, loads_of(arguments));
  auto names = arguments.policies;
  if (names.empty()) names = usual_policies(simulation.recording.slots(), simulation.closed());
  for (const std::string& name : names) {
    DSPARK_TRY(simulation.policies.emplace_back(),
               simulate::parse_policy(name, simulation.mode, arguments.ranks));
    if (simulation.policies.back().priced && !simulation.closed())
      return fail("policy {}: it needs --concurrency; the nearest is auto", name);
  }
  return simulation;
}

}  // namespace dspark::apps

// What simulate found, as tables for people and rows for JSON (docs/json.md).
#include <algorithm>

#include "apps/simulate.h"

namespace dspark::apps {
namespace {

using simulate::Figures;

constexpr const char* kOthers = "others";

// The value below which a share of them lies, by nearest rank; nothing of nothing.
std::optional<double> quantile(std::vector<double> values, double share) {
  if (values.empty()) return {};
  const auto rank = static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank),
                   values.end());
  return values[rank];
}

Json percentiles(const std::vector<double>& values) {
  Json json = Json::object();
  for (const int percent : {10, 50, 90, 99}) {
    const auto value = quantile(values, percent / 100.0);
    json[fmt::format("p{}", percent)] = value ? Json(*value) : Json(nullptr);
  }
  return json;
}

// A line a load, a column a policy.
template <class Value>  // value(figures)
std::string matrix(const Simulation& simulation, const char* title, int digits, Value value) {
  size_t first = 4;
  for (const SimulatedLoad& load : simulation.loads) first = std::max(first, load.name.size());
  const auto width = [](const simulate::Policy& policy) {
    return std::max<size_t>(policy.name.size() + 1, 9);
  };
  std::string text = fmt::format("\n{}\n{:>{}}", title, "load", first);
  for (const auto& policy : simulation.policies)
    text += fmt::format("{:>{}}", policy.name, width(policy));
  text += '\n';
  for (size_t l = 0; l < simulation.loads.size(); ++l) {
    text += fmt::format("{:>{}}", simulation.loads[l].name, first);
    for (size_t p = 0; p < simulation.policies.size(); ++p)
      text += fmt::format("{:>{}.{}f}", value(simulation.figures[l][p]),
                          width(simulation.policies[p]), digits);
    text += '\n';
  }
  return text;
}

double wasted(const Figures& figures) {
  return figures.cycles == 0 ? 0
                             : static_cast<double>(figures.verified - figures.accepted) /
                                   static_cast<double>(figures.cycles);
}

std::string gain_table(const Simulation& simulation, const std::vector<Gain>& all) {
  if (all.empty()) return "";
  std::string text =
      "\nauto over others at the same speed per user, and at the same total (-: they never get "
      "so far)\nload";
  std::vector<std::string> names;
  for (const Gain& gain : all)
    if (gain.load == all.front().load) names.push_back(gain.against);
  for (const std::string& name : names) text += fmt::format("{:>18}", name);
  const auto shown = [](const std::optional<double>& ratio) {
    return ratio ? fmt::format("{:.2f}", *ratio) : std::string("-");
  };
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % names.size() == 0) text += fmt::format("\n{:>4}", simulation.loads[all[i].load].name);
    text += fmt::format("{:>18}", shown(all[i].total) + " / " + shown(all[i].per_user));
  }
  return text + "\n";
}

Json row_json(const SimulatedLoad& load, const simulate::Policy& policy, const Figures& f) {
  Json row = load.json;
  const double cycles = std::max<double>(1, static_cast<double>(f.cycles));
  row.update({{"policy", policy.name},
              {"total_tok_per_s", f.total_tok_per_s()},
              {"per_user_tok_per_s", f.per_user_tok_per_s()},
              {"tau", f.tau()},
              {"drafted", static_cast<double>(f.drafted_cycles) / cycles},
              {"budget", f.budget()},
              {"accepted", static_cast<double>(f.accepted) / cycles},
              {"wasted", wasted(f)},
              {"rows", f.rows_of_step()},
              {"step_ms", f.steps > 0 ? f.ms / static_cast<double>(f.steps) : 0},
              {"cycles", f.cycles}});
  if (load.concurrency > 0) return row;
  row["running"] = f.ms > 0 ? f.running / f.ms : 0;
  row["first_token_ms"] = percentiles(f.first_token_ms);
  row["user_tok_per_s"] = percentiles(f.tok_per_s);
  return row;
}

Json optional_number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

std::vector<simulate::SpeedPoint> Simulation::curve(size_t policy) const {
  std::vector<simulate::SpeedPoint> points;
  for (const auto& row : figures)
    points.push_back({row[policy].per_user_tok_per_s(), row[policy].total_tok_per_s()});
  return points;
}

std::optional<size_t> Simulation::find(std::string_view policy) const {
  for (size_t p = 0; p < policies.size(); ++p)
    if (policies[p].name == policy) return p;
  return {};
}

std::vector<Gain> gains(const Simulation& simulation) {
  const auto own = simulation.find("auto");
  if (!own || !simulation.closed()) return {};
  std::vector<Gain> all;
  for (size_t l = 0; l < simulation.loads.size(); ++l) {
    const auto [per_user, total] = simulation.curve(*own)[l];
    Gain others{l, kOthers};
    const auto least = [](std::optional<double>& ratio, const std::optional<double>& other) {
      if (other) ratio = std::min(ratio.value_or(*other), *other);
    };
    for (size_t p = 0; p < simulation.policies.size(); ++p) {
      if (p == *own) continue;
      const auto curve = simulation.curve(p);
      Gain gain{l, simulation.policies[p].name};
      if (const auto at = simulate::total_at(curve, per_user)) gain.total = total / *at;
      if (const auto at = simulate::per_user_at(curve, total)) gain.per_user = per_user / *at;
      all.push_back(gain);
      if (simulation.policies[p].priced) continue;
      least(others.total, gain.total);
      least(others.per_user, gain.per_user);
    }
    all.push_back(others);
  }
  return all;
}

std::string simulation_table(const Simulation& simulation) {
  const auto& recording = simulation.recording;
  const verify::ConfidenceQuality quality = recording.quality();
  std::string text = fmt::format(
      "simulated: {}\n{} cycles of {} answers, {} slots, accept length {:.3f} at full length; "
      "confidences: ECE {:.1f} %, AUC {}\n",
      simulation.source, recording.cycles(), recording.answers().size(), recording.slots(),
      recording.tau(), 100 * quality.ece.value_or(0),
      quality.auc ? fmt::format("{:.3f}", *quality.auc) : "-");
  text += matrix(simulation, "tokens/s, all requests", 1,
                 [](const Figures& f) { return f.total_tok_per_s(); });
  text += matrix(simulation, "tokens/s of a request", 1,
                 [](const Figures& f) { return f.per_user_tok_per_s(); });
  text += matrix(simulation, "accept length", 2, [](const Figures& f) { return f.tau(); });
  text += matrix(simulation, "budget: draft rows of a request in a step", 2,
                 [](const Figures& f) { return f.budget(); });
  text += matrix(simulation, "of them wasted", 2, wasted);
  if (!simulation.closed())
    text += matrix(simulation, "ms to the first token, median", 0,
                   [](const Figures& f) { return quantile(f.first_token_ms, 0.5).value_or(0); });
  return text + gain_table(simulation, gains(simulation));
}

Json simulation_json(const Simulation& simulation, const SimulateArguments& arguments) {
  const auto& recording = simulation.recording;
  const verify::ConfidenceQuality quality = recording.quality();
  Json source = simulation.source_json;
  source.update({{"answers", recording.answers().size()},
                 {"cycles", recording.cycles()},
                 {"slots", recording.slots()},
                 {"tau", recording.tau()},
                 {"ece", optional_number(quality.ece)},
                 {"auc", optional_number(quality.auc)}});
  const auto curve = [](const std::vector<verify::CostCurve::Point>& points) {
    Json list = Json::array();
    for (const auto& [count, ms] : points) list.push_back({count, ms});
    return list;
  };
  Json rows = Json::array(), gained = Json::array();
  for (size_t l = 0; l < simulation.loads.size(); ++l)
    for (size_t p = 0; p < simulation.policies.size(); ++p)
      rows.push_back(
          row_json(simulation.loads[l], simulation.policies[p], simulation.figures[l][p]));
  for (const Gain& gain : gains(simulation)) {
    Json row = simulation.loads[gain.load].json;
    row.update({{"policy", "auto"},
                {"against", gain.against},
                {"total", optional_number(gain.total)},
                {"per_user", optional_number(gain.per_user)}});
    gained.push_back(std::move(row));
  }
  return {{"version", DSPARK_VERSION},
          {"outcomes", std::move(source)},
          {"costs",
           {{"file", arguments.costs},
            {"rows", curve(simulation.costs.rows)},
            {"drafts", curve(simulation.costs.drafts)}}},
          {"protocol",
           {{"verify", verify::mode_name(simulation.mode)},
            {"lag", arguments.lag},
            {"ranks", arguments.ranks},
            {"agree", arguments.agree},
            {"prompt_tokens", arguments.prompt_tokens},
            {"tokens", arguments.tokens},
            {"prefill_chunk", arguments.prefill_chunk},
            {"slots", simulation.closed() ? Json(nullptr) : Json(arguments.running)},
            {"seed", arguments.seed}}},
          {"rows", std::move(rows)},
          {"gains", std::move(gained)}};
}

}  // namespace dspark::apps

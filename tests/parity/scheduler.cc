// Planners against the reference's schedules, and the exact distributions of its Appendix A.
#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "verify/verify.h"

namespace dspark::parity {
namespace {

using nlohmann::json;

class StepsPerSecond : public verify::StepCost {
 public:
  explicit StepsPerSecond(const json& sps) : sps_(sps.get<std::vector<double>>()) {}
  double step_ms(int rows) const override { return 1000 / sps_.at(static_cast<size_t>(rows)); }

 private:
  std::vector<double> sps_;
};

bool close(double got, const json& want) {
  return std::fabs(got - want.get<double>()) <= 1e-12 * std::fabs(want.get<double>());
}

void check_plan(const verify::Plan& plan, const std::vector<int>& lengths, const json& want,
                const std::string& name, Report& report) {
  report.check(lengths == want["l"].get<std::vector<int>>(), name + ": lengths");
  report.check(plan.rows == want["B"], fmt::format("{}: {} rows", name, plan.rows));
  report.check(plan.expected_tokens == want["tau"].get<double>(),
               fmt::format("{}: tau {}", name, plan.expected_tokens));
  report.check(close(plan.tokens_per_ms * 1000, want["theta"]),
               fmt::format("{}: theta {}", name, plan.tokens_per_ms * 1000));
}

void check_case(const json& c, Report& report) {
  const std::string name = fmt::format("case {}", c["id"].get<int>());
  const auto survival = c["survival"].get<std::vector<std::vector<double>>>();
  const auto lagged = c["lagged_survival"].get<std::vector<std::vector<double>>>();
  std::vector<verify::RequestView> requests(survival.size());
  for (size_t r = 0; r < survival.size(); ++r) {
    requests[r].drafted = static_cast<int>(survival[r].size());
    requests[r].survival = survival[r];
    requests[r].lagged_survival = lagged[r];
  }
  const StepsPerSecond cost(c["sps"]);
  std::vector<int> lengths(requests.size());
  const auto plan = [&](verify::PlannerKind kind) {
    return verify::make_planner({kind, 0, 0}, verify::Mode::kCoupled)
        .take()
        ->plan({requests}, cost, lengths);
  };
  const verify::Plan causal = plan(verify::PlannerKind::kCausal);
  check_plan(causal, lengths, c["early_stop"], name + " causal", report);
  report.check(causal.evaluated == c["early_stop"]["evaluated"], name + ": evaluated");

  const verify::Plan production = plan(verify::PlannerKind::kLagged);
  check_plan(production, lengths, c["production"], name + " lagged", report);
  report.check(production.budget == c["production"]["K"],
               fmt::format("{}: budget {}", name, production.budget));

  const verify::Plan global = plan(verify::PlannerKind::kGlobal);
  report.check(c["early_stop_is_global_optimum"].get<bool>()
                   ? global.rows == causal.rows
                   : global.tokens_per_ms > causal.tokens_per_ms,
               name + ": global");
}

// The first token's distribution under a policy: every draft x1, what is verified after it, and
// then rejection's law, x1 accepted or corrected. The draft's second slot can't change the first
// token once its length is chosen.
void check_policy(const json& a, const std::string& policy, verify::PlannerKind kind,
                  const std::vector<double>& lagged, const json& sps, Report& report) {
  const StepsPerSecond cost(sps);
  const std::vector<std::string> names = a["vocabulary"].get<std::vector<std::string>>();
  std::vector<float> p, q;
  for (const std::string& v : names) {
    p.push_back(a["p_target"][v].get<float>());
    q.push_back(a["p_draft"][v].get<float>());
  }
  std::vector<float> logits;
  for (const float value : p) logits.push_back(static_cast<float>(real_log(value)));
  sample::Params params;
  params.temperature = 1;
  sample::Sampler sampler(params, {}, 2);
  verify::Verifier verifier(verify::Mode::kRejection, 2);
  std::vector<double> first(names.size(), 0);
  for (size_t x1 = 0; x1 < names.size(); ++x1) {
    const double a1 = a["a1"].get<double>();
    const std::vector<double> survival{a1, a1 * a["c2_given_x1"][names[x1]].get<double>()};
    verify::RequestView request;
    request.drafted = 2;
    request.survival = survival;
    request.lagged_survival = lagged;
    int length = 0;
    // In coupled mode every kind may be made: that it was used under rejection is the point.
    const verify::Plan plan = verify::make_planner({kind, 0, 0}, verify::Mode::kCoupled)
                                  .take()
                                  ->plan({{&request, 1}}, cost, {&length, 1});
    for (const json& want : a["policies"][policy]["by_x1"])
      if (want["x1"] == names[x1])
        report.check(length == want["ell"], fmt::format("{}: length {}", policy, length));
    report.check(plan.rows == length + 1, policy + ": rows");
    const std::vector<int32_t> drafts{static_cast<int32_t>(x1)};
    const std::vector<std::span<const float>> rows{logits, logits};
    const verify::DraftDistribution draft{{}, q};
    const size_t n = length > 0 ? 1 : 0;
    const verify::CycleInput cycle{
        0, std::span(drafts).first(n), std::span(rows).first(n + 1), {&draft, n}, {}};
    // The variate that rejects if any does shows the threshold and the residual.
    const double largest = 1 - 0x1p-53;
    CHECK(verifier.verify(cycle, {{&largest, n}, 0}, sampler).ok());
    const double accept = n > 0 ? verifier.thresholds()[0] : 0;
    first[x1] += static_cast<double>(q[x1]) * accept;
    double total = 0;
    for (const float w : verifier.next_weights()) total += static_cast<double>(w);
    for (size_t v = 0; v < names.size(); ++v)
      first[v] += static_cast<double>(q[x1]) * (1 - accept) *
                  static_cast<double>(verifier.next_weights()[v]) / total;
  }
  for (size_t v = 0; v < names.size(); ++v)
    report.check(near(first[v], a["policies"][policy]["first_token_distribution"][names[v]], 1e-6),
                 fmt::format("{}: {} has {}", policy, names[v], first[v]));
}

}  // namespace

void check_scheduler(const std::filesystem::path& folder, Report& report) {
  const json fixture = read_json(folder / "cases.json");
  for (const json& c : fixture["cases"]) check_case(c, report);
  if (!std::filesystem::exists(folder / "appendix_a.json")) return;
  const json a = read_json(folder / "appendix_a.json");
  using Kind = verify::PlannerKind;
  const json& sps = a["sps_by_batch_tokens"];
  check_policy(a, "retrospective_global_argmax", Kind::kGlobal, {}, sps, report);
  check_policy(a, "early_stop", Kind::kCausal, {}, sps, report);
  // Of the budgets only the number matters: costs and survivals that give it.
  check_policy(a, "lagged_budget_0", Kind::kLagged, {0.1, 0.1}, sps, report);
  check_policy(a, "lagged_budget_1", Kind::kLagged, {0.9, 0.9}, {0, 1, 0.9, 0.45}, report);
  check_policy(a, "lagged_budget_2", Kind::kLagged, {0.9, 0.9}, sps, report);
}

}  // namespace dspark::parity

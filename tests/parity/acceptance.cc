// Rejection verification with given variates against the reference's cycles.
#include <numeric>

#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "verify/residual.h"
#include "verify/verify.h"

namespace dspark::parity {
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<float>>;

constexpr double kChanceTolerance = 1e-5;

Rows distributions(const json& logits, sample::Sampler& sampler) {
  Rows rows;
  for (const json& row : logits) {
    const auto values = row.get<std::vector<float>>();
    rows.emplace_back(values.size());
    CHECK(sampler.distribution(values, rows.back()).ok());
  }
  return rows;
}

bool same_distribution(std::span<const float> weights, const json& want) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t v = 0; v < weights.size(); ++v)
    if (!near(static_cast<double>(weights[v]) / total, want[v], kChanceTolerance)) return false;
  return weights.size() == want.size();
}

void check_case(const json& c, int vocab, const std::string& name, Report& report) {
  sample::Params params;
  params.temperature = c["temperature"].get<float>();
  sample::Sampler sampler(params, {}, vocab);
  const Rows p = distributions(c["target_logits"], sampler);
  const Rows q = distributions(c["draft_logits"], sampler);
  const auto rows = c["target_logits"].get<Rows>();
  const auto drafts = c["draft_tokens"].get<std::vector<int32_t>>();
  std::vector<int32_t> stops;
  if (!c["stop_token_ids"].is_null()) c["stop_token_ids"].get_to(stops);
  const auto uniforms = c["accept_uniforms"].get<std::vector<double>>();
  const double next_uniform = c["next_uniform"].get<double>();
  const json& want = c["expected"];
  std::vector<std::span<const float>> row_spans(rows.begin(), rows.end());
  std::vector<verify::DraftDistribution> draft_distributions;
  for (size_t i = 0; i < drafts.size(); ++i) draft_distributions.push_back({{}, q[i]});
  const verify::CycleInput cycle{0, drafts, row_spans, draft_distributions, stops};

  verify::Verifier verifier(verify::Mode::kRejection, vocab);
  const auto verdict = verifier.verify(cycle, {uniforms, next_uniform}, sampler);
  report.check(verdict.ok(), name + ": " + (verdict.ok() ? "" : verdict.message()));
  if (!verdict.ok()) return;
  const int accepted = verdict.value().accepted;
  const bool ended = verdict.value().next < 0;
  report.check(accepted == want["accepted_draft_tokens"], fmt::format("{}: {}", name, accepted));
  report.check(ended == want["terminated_by_stop_token"].get<bool>(), name + ": stop");
  verify::AcceptanceMetrics metrics;
  metrics.add(static_cast<int>(drafts.size()), verdict.value());
  report.check(near(metrics.proposed_length(), want["effective_proposal_length"], 0),
               name + ": proposed");

  const auto thresholds = verifier.thresholds();
  for (size_t i = 0; i < drafts.size(); ++i) {
    const auto draft = static_cast<size_t>(drafts[i]);
    const double chance = std::min(
        1.0, verify::likelihood_ratio(p[i][draft], verify::probability({{}, q[i]}, drafts[i])));
    report.check(near(chance, want["accept_prob"][i], kChanceTolerance),
                 fmt::format("{}: accept_prob {} is {}", name, i, chance));
    report.check(i >= thresholds.size() || thresholds[i] == chance,
                 fmt::format("{}: threshold {}", name, i));
  }

  // After an accepted stop the reference still draws a next token, from the row it would stand in.
  std::vector<float> weights(verifier.next_weights().begin(), verifier.next_weights().end());
  const auto a = static_cast<size_t>(accepted);
  if (ended && (a == drafts.size() ||
                verify::residual(1, p[a], {{}, q[a]}, weights) <= verify::kLeastResidual))
    weights = p[a];
  report.check(same_distribution(weights, want["next_token_distribution"]),
               name + ": next_token_distribution");
  const int32_t next = ended ? sample::draw(weights, next_uniform) : verdict.value().next;
  report.check(next == want["next_token_by_inverse_cdf"], fmt::format("{}: next {}", name, next));
}

}  // namespace

void check_acceptance(const std::filesystem::path& file, Report& report) {
  const json fixture = read_json(file);
  int number = 0;
  for (const json& c : fixture["cases"])
    check_case(c, fixture["vocab"].get<int>(), fmt::format("verify case {}", number++), report);
}

}  // namespace dspark::parity

// Evaluation metrics against the reference's: acceptance rows and confidence quality.
#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "verify/verify.h"

namespace dspark::parity {
namespace {

using nlohmann::json;

constexpr double kMetricTolerance = 1e-6;

void check_acceptance_row(const json& row, int slots, Report& report) {
  const auto name = row["label"].get<std::string>();
  verify::AcceptanceMetrics metrics;
  for (const json& response : row["responses"])
    for (size_t i = 0; i < response["acceptance_lengths"].size(); ++i)
      metrics.add(response["acceptance_lengths"][i].get<int>(),
                  response["proposal_lengths"][i].get<int>(),
                  response["accepted_draft_lengths"][i].get<int>());
  const json& want = row["expected"];
  const auto check = [&](const char* what, double got) {
    report.check(near(got, want[what], kMetricTolerance),
                 fmt::format("{}: {} is {}", name, what, got));
  };
  check("acceptance_length", metrics.accept_length());
  check("draft_tokens_per_proposal", metrics.proposed_length());
  check("verify_rate", metrics.verify_rate());
  for (int k = 0; k < slots; ++k)
    report.check(near(metrics.accept_rate(k),
                      want["accept_rates_by_position"][static_cast<size_t>(k)], kMetricTolerance),
                 fmt::format("{}: accept_rate@{}", name, k));
}

void check_quality(const verify::ConfidenceQuality& got, const json& want, const char* suffix,
                   const std::string& where, Report& report) {
  const auto check = [&](const char* what, const std::optional<double>& value) {
    report.check(near(value, want.at(what + std::string(suffix)), kMetricTolerance),
                 fmt::format("{}: {} is {}", where, what, value.value_or(-1)));
  };
  check("ece", got.ece);
  check("auc", got.auc);
  check("brier", got.brier);
}

void check_reliability(const std::vector<verify::ReliabilityBin>& got, const json& want,
                       const std::string& where, Report& report) {
  report.check(got.size() == want.size(), fmt::format("{}: {} bins", where, got.size()));
  for (size_t b = 0; b < std::min(got.size(), want.size()); ++b) {
    const json& bin = want[b];
    report.check(got[b].bin == bin["bin"] && near(got[b].low, bin["range"][0], 1e-12) &&
                     near(got[b].high, bin["range"][1], 1e-12) &&
                     near(got[b].prediction, bin["avg_pred"], kMetricTolerance) &&
                     near(got[b].outcome, bin["avg_target"], kMetricTolerance) &&
                     near(static_cast<double>(got[b].count), bin["weight"], 0),
                 fmt::format("{}: bin {}", where, b));
  }
}

void check_confidence(const json& c, int slots, Report& report) {
  const auto name = c["label"].get<std::string>();
  verify::ConfidenceMetrics metrics(slots);
  for (const json& cycle : c["cycles"]) {
    const auto logits = cycle["logits"].get<std::vector<float>>();
    std::vector<double> confidence(logits.size()), survival(logits.size());
    verify::survival(logits, {}, {}, confidence, survival);
    int accepted = 0;
    for (const json& bit : cycle["accept_prefix_mask"]) accepted += bit.get<int>();
    const int considered = cycle["effective_proposal_length"].get<int>();
    metrics.add(survival, considered, std::min(accepted, considered));
  }
  for (const json& want : c["expected"]["per_position"]) {
    const int k = want["position"].get<int>();
    const std::string where = fmt::format("{}: position {}", name, k);
    const verify::ConfidenceQuality got = metrics.at(k);
    report.check(near(static_cast<double>(got.count), want["total_weight"], 0), where + ": count");
    check_quality(got, want, "", where, report);
    report.check(near(got.prediction, want["pred_mean"], kMetricTolerance), where + ": pred_mean");
    report.check(near(got.outcome, want["target_mean"], kMetricTolerance), where + ": target_mean");
    check_reliability(metrics.reliability(k), want["reliability"], where, report);
  }
  const json& want = c["expected"]["summary"];
  const verify::ConfidenceQuality all = metrics.summary();
  check_quality(all, want, "_mean", name + ": summary", report);
  report.check(near(all.prediction, want["pred_mean"], kMetricTolerance), name + ": pred_mean");
  report.check(near(all.outcome, want["target_mean"], kMetricTolerance), name + ": target_mean");
}

}  // namespace

void check_metrics(const std::filesystem::path& file, Report& report) {
  const json metrics = read_json(file);
  const int slots = metrics["block_size"].get<int>();
  for (const json& row : metrics["acceptance"]) check_acceptance_row(row, slots, report);
  for (const json& c : metrics["confidence"]) check_confidence(c, slots, report);
}

}  // namespace dspark::parity

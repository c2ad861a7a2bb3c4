// The laws of a cycle, and the test of counts against them.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "lossless/toy.h"

namespace dspark::verify::testing {

Rule verifier_rule(Mode mode) {
  return [mode](const Toy& toy, const Drafted& drafted) {
    const size_t n = drafted.drafts.size();
    const std::vector<std::span<const float>> rows(drafted.rows.begin(), drafted.rows.end());
    std::vector<DraftDistribution> q;
    for (const Row& row : drafted.q) q.push_back({{}, row});
    const CycleInput cycle{7, drafted.drafts, rows, q, toy.stops};
    sample::Sampler sampler(toy.params, {}, toy.target.vocab());
    Verifier verifier(mode, toy.target.vocab());
    const double refused = 1 - 0x1p-53;
    // Variates just below 1 refuse whatever can be refused: the thresholds of every slot show.
    std::vector<double> variates(n, mode == Mode::kBlock ? refused : 0.0);
    CHECK(verifier.verify(cycle, {variates, 0}, sampler).ok());
    std::vector<double> thresholds(verifier.thresholds().begin(), verifier.thresholds().end());
    thresholds.resize(n, 0);  // not looked at: never accepted

    // The outcome with a accepted: accept exactly those slots that must be.
    std::vector<Outcome> outcomes;
    double reached = 1;  // rejection: that slot a is come to; block: that no later slot is accepted
    for (size_t i = 0; i <= n; ++i) {
      const size_t a = mode == Mode::kBlock ? n - i : i;
      double chance = reached;
      if (mode == Mode::kBlock) {
        if (a > 0) chance *= thresholds[a - 1];
        if (a > 0) reached *= 1 - thresholds[a - 1];
      } else {
        if (a < n) chance *= 1 - thresholds[a];
        if (a < n) reached *= thresholds[a];
      }
      if (chance == 0) continue;
      for (size_t k = 0; k < n; ++k)
        variates[k] = (mode == Mode::kBlock ? k + 1 == a : k < a) ? 0.0 : refused;
      const auto verdict = verifier.verify(cycle, {variates, 0.5}, sampler);
      CHECK(verdict.ok());
      CHECK(verdict.value().accepted == static_cast<int>(a), "{} accepted, not {}",
            verdict.value().accepted, a);
      const bool stop = verdict.value().next < 0;
      outcomes.push_back({chance, static_cast<int>(a),
                          stop ? std::vector<double>() : normalised(verifier.next_weights())});
    }
    return outcomes;
  };
}

Rule plain_rejection(Fault fault) {
  return [fault](const Toy& toy, const Drafted& drafted) {
    std::vector<Outcome> outcomes;
    double reached = 1;
    const size_t n = drafted.drafts.size();
    for (size_t i = 0; i < n; ++i) {
      const std::vector<double> p = normalised(drafted.p[i]), q = normalised(drafted.q[i]);
      const auto id = static_cast<size_t>(drafted.drafts[i]);
      const double ratio =
          fault == Fault::kRatioUpsideDown ? (p[id] > 0 ? q[id] / p[id] : 2) : p[id] / q[id];
      const double accept = std::min(1.0, ratio);
      std::vector<double> rest = p;
      double total = 0;
      for (size_t v = 0; v < p.size(); ++v) {
        if (fault != Fault::kResidualFromP) rest[v] = std::max(0.0, p[v] - q[v]);
        total += rest[v];
      }
      for (size_t v = 0; v < p.size(); ++v) rest[v] = total > 1e-8 ? rest[v] / total : p[v];
      if (accept < 1) outcomes.push_back({reached * (1 - accept), static_cast<int>(i), rest});
      reached *= accept;
      if (reached == 0) return outcomes;
      if (is_stop(toy, drafted.drafts[i])) {
        outcomes.push_back({reached, static_cast<int>(i) + 1, {}});
        return outcomes;
      }
    }
    outcomes.push_back({reached, static_cast<int>(n), normalised(drafted.p[n])});
    return outcomes;
  };
}

double goodness_of_fit(const std::vector<int64_t>& counts, const std::vector<double>& expected) {
  CHECK(counts.size() == expected.size());
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  double statistic = 0, rare_want = 0, rare_have = 0;
  int cells = 0;
  const auto add = [&](double want, double have) {
    statistic += (have - want) * (have - want) / want;
    ++cells;
  };
  for (size_t i = 0; i < counts.size(); ++i) {
    const double want = expected[i] * total;
    if (want == 0 && counts[i] > 0) return 0;
    if (want < 5) {
      rare_want += want;
      rare_have += static_cast<double>(counts[i]);
    } else {
      add(want, static_cast<double>(counts[i]));
    }
  }
  if (rare_want >= 5) add(rare_want, rare_have);
  // Wilson and Hilferty's cube root, good to a few per cent.
  const double freedom = cells - 1;
  const double z =
      (std::cbrt(statistic / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

}  // namespace dspark::verify::testing

// What policies are worth, where that is known: on costs that are flat, steep or a fixture's.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "simulate/support.h"

namespace dspark::simulate::testing {
namespace {

double speed(const Trial& run, const char* policy, int concurrency) {
  return run.closed(policy, concurrency).total_tok_per_s();
}

TEST(Policies, WhereRowsAreFreeTheLongestIsBest) {
  const Recording recording = recording_of(0.8, 6, 0.4);
  const Costs costs({{{1, 4}, {4096, 4}}, {}});
  const Trial run(recording, costs);
  double last = speed(run, "off", 8);
  for (const char* policy : {"fixed:1", "fixed:2", "fixed:4", "fixed:6"}) {
    const double now = speed(run, policy, 8);
    EXPECT_GT(now, last) << policy;
    last = now;
  }
  for (const char* policy : {"auto", "causal", "global", "threshold:0"})
    EXPECT_NEAR(speed(run, policy, 8), last, 1e-6 * last) << policy;
}

TEST(Policies, WhereEveryRowCostsAStepNothingIsVerified) {
  const Recording recording = recording_of(0.6, 5, 0.1);
  const Costs free_drafts({{{1, 4}, {2, 8}}, {}}),
      dear_drafts({{{1, 4}, {2, 8}}, {{1, 0.6}, {2, 1.2}}});
  const Trial without(recording, free_drafts), with(recording, dear_drafts);
  const double off = speed(without, "off", 4);
  EXPECT_NEAR(speed(without, "auto", 4), off, 1e-6 * off);
  EXPECT_NEAR(without.closed("auto", 4).budget(), 0, 1e-9);
  EXPECT_LT(speed(without, "fixed:5", 4), 0.6 * off);
  EXPECT_GE(speed(with, "ideal", 4), 0.999 * off);
  // Drafts that cost 15 % of a step: requests must rest from them.
  EXPECT_GT(speed(with, "auto", 4), 0.97 * off);
  EXPECT_LT(speed(with, "global", 4), 0.9 * off);
}

// Short answers are through soon: a request must not begin with tries where others' drafts lose.
TEST(Policies, ShortAnswersDoNotPayForTries) {
  const Recording recording = recording_of(0.3, 5, 0.4);
  const Costs costs({{{1, 4}, {2, 8}}, {{1, 1.6}, {2, 3.2}}});
  const Trial run(recording, costs);
  const auto tokens_per_s = [&](const char* policy) {
    return run_closed(run.setup, run.policy_of(policy),
                      {.concurrency = 8, .cycles = 40000, .tokens = 120})
        .total_tok_per_s();
  };
  EXPECT_GT(tokens_per_s("auto"), 0.97 * tokens_per_s("off"));
}

// Nor may it try, or verify, because a prompt's rows make a step long.
TEST(Policies, PromptsDoNotMakeDraftsPay) {
  const Recording recording = recording_of(0.6, 4, 0.4);
  const Costs costs({{{1, 1.25}, {2, 1.5}}, {{1, 0.2}, {2, 0.3}}});
  Trial run(recording, costs);
  run.setup.prefill_chunk = 32;
  const auto tokens_per_s = [&](const char* policy) {
    return run_closed(run.setup, run.policy_of(policy),
                      {.concurrency = 32, .cycles = 40000, .prompt_tokens = 100, .tokens = 120})
        .total_tok_per_s();
  };
  EXPECT_GT(tokens_per_s("auto"), 0.97 * tokens_per_s("off"));
}

// A crowd under which no draft pays, and then one request at a time: each drafts as if there had
// never been a crowd.
TEST(Policies, DraftingComesBackWhenACrowdIsGone) {
  const Recording recording = recording_of(0.7, 4, 0.4);
  const Costs costs({{{1, 2}, {4, 2.2}, {64, 32}}, {{1, 0.3}, {64, 10}}});
  const Trial run(recording, costs);
  const auto last_speed = [&](int crowd) {
    std::vector<Arrival> arrivals;
    for (int i = 0; i < crowd; ++i) arrivals.push_back({static_cast<double>(i), 0, 300});
    for (int i = 0; i < 20; ++i) arrivals.push_back({60000 + 2000.0 * i, 0, 200});
    const Figures figures = run_open(run.setup, run.policy_of("auto"), arrivals, 64);
    double sum = 0;
    for (int i = 0; i < 20; ++i) sum += figures.tok_per_s[static_cast<size_t>(crowd + i)];
    return sum;
  };
  EXPECT_GT(last_speed(64), 0.97 * last_speed(1));
}

TEST(Policies, BoundsAreNeverBehind) {
  const Recording recording = recording_of(0.7, 6, 0.5);
  const Costs costs = knee(3, 24);
  const Trial run(recording, costs);
  for (const int concurrency : {1, 4, 16, 64}) {
    const Figures oracle = run.closed("oracle", concurrency);
    const double ideal = speed(run, "ideal", concurrency);
    EXPECT_EQ(oracle.verified, oracle.accepted);
    EXPECT_GE(oracle.total_tok_per_s(), 0.999 * ideal) << concurrency;
    for (const char* policy : {"off", "fixed:2", "fixed:6", "lagged", "auto"})
      EXPECT_GE(ideal, 0.997 * speed(run, policy, concurrency)) << policy << ' ' << concurrency;
  }
}

TEST(Policies, WithoutSurprisesALagChangesNothing) {
  const Recording recording = recording_of(0.7, 6, 0);  // all confidences are alike
  const Costs costs = knee(3, 24);
  Trial run(recording, costs);
  for (const int lag : {1, 2, 9}) {
    run.setup.lag = lag;
    // A request that joins has nothing to count by yet.
    EXPECT_NEAR(speed(run, "lagged", 8), speed(run, "global", 8), 0.02 * speed(run, "global", 8));
  }
}

TEST(Policies, TheLagIsThatOfCycles) {
  const Recording recording = recording_of(0.7, 6, 0);
  const Costs costs = knee(3, 64);  // rows are free
  Trial run(recording, costs);
  const std::vector<Arrival> alone{{0, 0, 1000}};
  for (const int lag : {1, 2, 9}) {
    run.setup.lag = lag;
    const Figures figures = run_open(run.setup, run.policy_of("lagged"), alone, 1);
    // Nothing is known of the first cycles; at the end there is no room for six drafts.
    EXPECT_LE(figures.verified, 6 * (figures.cycles - lag));
    EXPECT_GE(figures.verified, 6 * (figures.cycles - lag) - 21);
  }
}

// On its own model auto is what it says: no fixed length, and not drafting, is better than it on
// any of the fixtures' tables.
TEST(Policies, AutoIsNeverBehindAFixedLengthOnTheFixturesTables) {
  std::ifstream file(DSPARK_SOURCE_DIR "/tests/fixtures/scheduler/cases.json");
  const auto json = nlohmann::json::parse(file);
  std::map<int, Recording> recordings;  // by slots
  std::set<std::string> seen;
  int tables = 0;
  for (const auto& one : json.at("cases")) {
    const int requests = one.at("R"), slots = one.at("gamma");
    const std::string kind = one.at("kind").at(1);
    if (requests < 2 || !seen.insert(fmt::format("{} {}", kind, requests < 8)).second) continue;
    std::vector<verify::CostCurve::Point> points;
    const auto& sps = one.at("sps");
    for (size_t rows = 1; rows < sps.size(); ++rows)
      points.push_back({static_cast<int>(rows), 1e3 / sps[rows].get<double>()});
    if (!recordings.contains(slots)) recordings.emplace(slots, recording_of(0.75, slots, 0.5));
    const Costs costs({points, {}});
    const Trial run(recordings.at(slots), costs);
    const auto tokens_per_s = [&](const std::string& policy) {
      return run.closed(policy.c_str(), requests, 4000).total_tok_per_s();
    };
    const double by_auto = tokens_per_s("auto");
    EXPECT_GE(by_auto, 0.99 * tokens_per_s("off")) << kind << ' ' << requests;
    for (int n = 1; n <= slots; ++n)
      EXPECT_GE(by_auto, 0.99 * tokens_per_s(fmt::format("fixed:{}", n)))
          << kind << ' ' << requests << " fixed:" << n;
    ++tables;
  }
  EXPECT_EQ(tables, 14);
}

TEST(Policies, NamesAndWhatModesRuleOut) {
  using verify::Mode;
  const auto error = [](const char* name, Mode mode, int ranks) {
    const auto policy = parse_policy(name, mode, ranks);
    return policy.ok() ? "" : policy.message();
  };
  EXPECT_EQ(parse_policy("auto", Mode::kCoupled, 1)->planner.kind, verify::PlannerKind::kGlobal);
  EXPECT_EQ(parse_policy("auto", Mode::kRejection, 1)->planner.kind, verify::PlannerKind::kCausal);
  EXPECT_EQ(parse_policy("auto", Mode::kBlock, 2)->planner.kind, verify::PlannerKind::kLagged);
  EXPECT_TRUE(parse_policy("fixed:3", Mode::kBlock, 2).ok());
  EXPECT_EQ(parse_policy("fixed:3", Mode::kBlock, 2)->name, "fixed:3");
  EXPECT_NE(error("atuo", Mode::kCoupled, 1).find("nearest is auto"), std::string::npos);
  EXPECT_NE(error("oracel", Mode::kCoupled, 1).find("nearest is oracle"), std::string::npos);
  EXPECT_NE(error("fixed", Mode::kCoupled, 1), "");
  EXPECT_NE(error("global", Mode::kRejection, 1).find("causal"), std::string::npos);
  EXPECT_EQ(error("causal", Mode::kRejection, 1), "");
  EXPECT_NE(error("causal", Mode::kRejection, 2).find("lagged"), std::string::npos);
}

}  // namespace
}  // namespace dspark::simulate::testing

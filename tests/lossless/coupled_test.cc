// Greedy and coupled verification: the text is plain decoding's, token by token, whatever is
// drafted and however much of it is verified. And the counterexample of the paper's Appendix A.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "lossless/toy.h"

namespace dspark::verify::testing {
namespace {

Tokens plain_text(const ToyModel& model, const sample::Params& params, const Tokens& stops,
                  size_t length) {
  sample::Sampler sampler(params, {}, model.vocab());
  Tokens text;
  while (text.size() < length) {
    const Row row = model.logits(text);
    text.push_back(sampler.choose(row, static_cast<int64_t>(text.size())).take());
    sampler.push(text.back());
    if (std::find(stops.begin(), stops.end(), text.back()) != stops.end()) break;
  }
  return text;
}

// Drafts for a text's next slots, right about half of the time.
Tokens drafts_for(const ToyModel& model, sample::Sampler& sampler, Tokens text, size_t count,
                  std::mt19937& random) {
  Tokens drafts;
  for (size_t j = 0; j < count; ++j) {
    int32_t id = sampler.choose(model.logits(text), static_cast<int64_t>(text.size())).take();
    if (random() % 2) id = static_cast<int32_t>(random() % static_cast<uint32_t>(model.vocab()));
    drafts.push_back(id);
    text.push_back(id);
    sampler.push(id);
  }
  for (size_t j = drafts.size(); j-- > 0;) sampler.pop(drafts[j]);
  return drafts;
}

Tokens speculative_text(const ToyModel& model, const sample::Params& params, const Tokens& stops,
                        size_t length, Mode mode, Planner& planner, std::mt19937& random,
                        int64_t* accepted) {
  class Cost : public StepCost {
    double step_ms(int rows) const override { return 1 + 0.3 * rows; }
  };
  sample::Sampler sampler(params, {}, model.vocab());
  Verifier verifier(mode, model.vocab());
  Tokens text;
  while (text.size() < length) {
    const Tokens drafts = drafts_for(model, sampler, text, random() % 8, random);
    std::vector<double> confidence, survival;
    for (size_t j = 0; j < drafts.size(); ++j) {
      confidence.push_back((random() % 1000) / 1000.0);
      survival.push_back((j == 0 ? 1 : survival.back()) * confidence.back());
    }
    RequestView view;
    view.drafted = static_cast<int>(drafts.size());
    view.limit = static_cast<int>(length - text.size()) - 1;
    view.confidence = confidence;
    view.survival = view.lagged_survival = survival;
    int n = 0;
    planner.plan({{&view, 1}}, Cost(), {&n, 1});
    const auto verified = static_cast<size_t>(n);
    std::vector<Row> rows;
    Tokens prefix = text;
    for (size_t i = 0; i <= verified; ++i) {
      rows.push_back(model.logits(prefix));
      if (i < verified) prefix.push_back(drafts[i]);
    }
    const std::vector<std::span<const float>> spans(rows.begin(), rows.end());
    const CycleInput cycle{
        static_cast<int64_t>(text.size()) - 1, std::span(drafts).first(verified), spans, {}, stops};
    const Verdict verdict = verifier.verify(cycle, sampler).take();
    *accepted += verdict.accepted;
    Tokens committed(drafts.begin(), drafts.begin() + verdict.accepted);
    if (verdict.next >= 0) committed.push_back(verdict.next);
    for (const int32_t id : committed) sampler.push(id);
    text.insert(text.end(), committed.begin(), committed.end());
    if (verdict.stopped) break;
  }
  return text;
}

TEST(Coupled, TheTextIsPlainDecodings) {
  std::mt19937 random(12);
  int64_t accepted = 0, stopped = 0;
  for (int run = 0; run < 300; ++run) {
    const auto pick = [&](auto... values) {
      const double table[] = {static_cast<double>(values)...};
      return table[random() % sizeof...(values)];
    };
    sample::Params params;
    params.seed = random();
    params.temperature = static_cast<float>(pick(0, 0.7, 1, 1.4));
    params.top_k = static_cast<int>(pick(0, 0, 5));
    params.top_p = static_cast<float>(pick(1, 1, 0.8));
    params.min_p = static_cast<float>(pick(0, 0, 0.1));
    params.repeat_penalty = static_cast<float>(pick(1, 1.3));
    params.presence_penalty = static_cast<float>(pick(0, 0.5));
    params.frequency_penalty = static_cast<float>(pick(0, 0.2));
    const ToyModel model(random(), static_cast<int>(pick(3, 17)), 1.5f);
    Tokens stops;
    if (run % 3 == 0) stops = {1};
    const Tokens plain = plain_text(model, params, stops, 24);
    stopped += plain.size() < 24;
    for (const char* name : {"off", "fixed:3", "threshold:0.4", "causal", "lagged", "global"})
      for (const Mode mode : {Mode::kGreedy, Mode::kCoupled}) {
        if (!check_mode(mode, params).ok()) continue;
        const auto planner = make_planner(parse_planner(name).take(), mode).take();
        EXPECT_EQ(speculative_text(model, params, stops, 24, mode, *planner, random, &accepted),
                  plain)
            << run << " " << name;
      }
  }
  EXPECT_GT(accepted, 5000);
  EXPECT_GT(stopped, 20);
}

// Appendix A: two tokens, p = (0.7, 0.3), q = (0.5, 0.5); the second slot's confidence tells which
// token the first one drew, and only after A is the longer verification worth its rows.
constexpr double kP[] = {0.7, 0.3};

class AppendixCost : public StepCost {
 public:
  double step_ms(int rows) const override { return rows == 1 ? 1 : rows == 2 ? 2 : 1 / 0.45; }
};

Toy appendix() {
  Toy toy{ToyModel(0, 2, 0), ToyModel(0, 2, 0), {}, 1, {}};  // flat: q
  toy.params.temperature = 1;
  return toy;
}

int planned(Planner& planner, int32_t x1, std::span<const double> lagged) {
  const std::vector<double> survival{0.8, x1 == 0 ? 0.8 * 0.9 : 0};
  const std::vector<double> confidence{0.8, x1 == 0 ? 0.9 : 0};
  RequestView view;
  view.drafted = 2;
  view.confidence = confidence;
  view.survival = survival;
  view.lagged_survival = lagged;
  int length = 0;
  planner.plan({{&view, 1}}, AppendixCost(), {&length, 1});
  return length;
}

// The first token's chance to be A under rejection, exactly.
double chance_of_a(Planner& planner, std::span<const double> lagged) {
  const Rule rule = verifier_rule(Mode::kRejection);
  const Row logits{static_cast<float>(real_log(kP[0])), static_cast<float>(real_log(kP[1]))};
  const Row p{0.7f, 0.3f}, q{0.5f, 0.5f};
  double a = 0;
  for (const int32_t x1 : {0, 1}) {
    // The second slot can't change the first token any more, so the first alone is verified.
    const bool verified = planned(planner, x1, lagged) > 0;
    const Drafted drafted =
        verified ? Drafted{{x1}, {logits, logits}, {p, p}, {q}} : Drafted{{}, {logits}, {p}, {}};
    for (const Outcome& o : rule(appendix(), drafted))
      a += 0.5 * o.chance * (o.accepted > 0 ? (x1 == 0 ? 1 : 0) : o.next[0]);
  }
  return a;
}

TEST(AppendixA, ARetrospectivePlanIsNotLosslessUnderRejection) {
  const auto global = make_planner({PlannerKind::kGlobal, 0, 0}, Mode::kCoupled).take();
  EXPECT_EQ(planned(*global, 0, {}), 2);
  EXPECT_EQ(planned(*global, 1, {}), 0);
  EXPECT_NEAR(chance_of_a(*global, {}), 0.85, 1e-6);
  for (const char* name :
       {"off", "fixed:1", "fixed:2", "threshold:0.5", "threshold:0.85", "causal", "lagged"}) {
    const auto planner = make_planner(parse_planner(name).take(), Mode::kRejection).take();
    for (const double before : {0.1, 0.9})
      EXPECT_NEAR(chance_of_a(*planner, std::vector<double>{before, before}), 0.7, 1e-6) << name;
  }
}

TEST(AppendixA, GlobalIsRefusedWhereItWouldChangeTheText) {
  for (const Mode mode : {Mode::kRejection, Mode::kBlock}) {
    const auto refused = make_planner({PlannerKind::kGlobal, 0, 0}, mode);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.message().find(mode_name(mode)), std::string::npos);
    EXPECT_NE(refused.message().find("causal"), std::string::npos);
  }
  EXPECT_TRUE(make_planner({PlannerKind::kGlobal, 0, 0}, Mode::kGreedy).ok());
}

TEST(AppendixA, UnderCoupledVerificationEveryPlanGivesTheSeedsText) {
  const Row logits{static_cast<float>(real_log(kP[0])), static_cast<float>(real_log(kP[1]))};
  int first_a = 0;
  constexpr int kSeeds = 2000;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    sample::Params params;
    params.temperature = 1;
    params.seed = seed;
    sample::Sampler sampler(params, {}, 2);
    const int32_t own = sampler.choose(logits, 1).take();
    first_a += own == 0;
    // The drafter draws from its flat q with the same noise.
    const int32_t x1 = sampler.choose(Row{0, 0}, 1).take();
    for (const char* name : {"off", "fixed:1", "threshold:0.85", "causal", "lagged", "global"}) {
      const auto planner = make_planner(parse_planner(name).take(), Mode::kCoupled).take();
      const auto n = static_cast<size_t>(planned(*planner, x1, {}));
      const Tokens drafts{x1, 0};
      const std::vector<std::span<const float>> rows(n + 1, logits);
      Verifier verifier(Mode::kCoupled, 2);
      const Verdict verdict =
          verifier.verify({0, std::span(drafts).first(n), rows, {}, {}}, sampler).take();
      EXPECT_EQ(verdict.accepted > 0 ? drafts[0] : verdict.next, own) << name << " " << seed;
    }
  }
  EXPECT_NEAR(first_a, 0.7 * kSeeds, 5 * std::sqrt(0.21 * kSeeds));
}

}  // namespace
}  // namespace dspark::verify::testing

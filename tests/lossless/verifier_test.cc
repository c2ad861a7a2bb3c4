// The verifier's contract besides the distribution: what it reads, leaves behind and reports.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lossless/toy.h"

namespace dspark::verify::testing {
namespace {

constexpr int kFewTokens = 5;
const float kNan = std::nanf("");

struct VerifierCase {
  sample::Params params;
  Tokens drafts;
  std::vector<Row> rows, q;
  Tokens stops;

  std::vector<std::span<const float>> row_spans() const { return {rows.begin(), rows.end()}; }
  Result<Verdict> run(Mode mode, std::vector<double> accept = {}, double next = 0.5) const {
    sample::Sampler sampler(params, {}, kFewTokens);
    return run(mode, sampler, std::move(accept), next);
  }
  Result<Verdict> run(Mode mode, sample::Sampler& sampler, std::vector<double> accept = {},
                      double next = 0.5) const {
    const auto spans = row_spans();
    std::vector<DraftDistribution> draft;
    for (const Row& row : q) draft.push_back({{}, row});
    const CycleInput cycle{40, drafts, spans, draft, stops};
    Verifier verifier(mode, kFewTokens);
    accept.resize(drafts.size(), 0.5);
    return verifier.verify(cycle, {accept, next}, sampler);
  }
};

VerifierCase peaked(Tokens wanted, Tokens drafts) {
  VerifierCase c;
  c.params.temperature = 1;
  c.drafts = std::move(drafts);
  for (const int32_t id : wanted) {
    Row row(kFewTokens, 0);
    row[static_cast<size_t>(id)] = 60;
    c.rows.push_back(row);
  }
  c.q.assign(c.drafts.size(), Row(kFewTokens, 0.2f));
  return c;
}

constexpr Mode kModes[] = {Mode::kGreedy, Mode::kCoupled, Mode::kRejection, Mode::kBlock};

TEST(Verifier, AcceptsWhatTheTargetIsSureOf) {
  for (const Mode mode : kModes) {
    VerifierCase c = peaked({1, 2, 3, 4}, {1, 2, 0});
    if (mode == Mode::kGreedy) c.params.temperature = 0;
    const Verdict verdict = c.run(mode).take();
    EXPECT_EQ(verdict.accepted, 2) << mode_name(mode);
    EXPECT_EQ(verdict.next, 3);
    EXPECT_FALSE(verdict.stopped);
    VerifierCase all = peaked({1, 2, 3, 4}, {1, 2, 3});
    EXPECT_EQ(all.run(Mode::kBlock).take().accepted, 3);
    EXPECT_EQ(all.run(Mode::kBlock).take().next, 4);
    const Verdict plain = peaked({4}, {}).run(Mode::kRejection).take();
    EXPECT_EQ(plain.accepted, 0);
    EXPECT_EQ(plain.next, 4);
  }
}

TEST(Verifier, StopTokens) {
  for (const Mode mode : kModes) {
    const auto with = [&](Tokens stops) {
      VerifierCase c = peaked({1, 2, 3, 4}, {1, 2, 3});
      if (mode == Mode::kGreedy) c.params.temperature = 0;
      c.stops = std::move(stops);
      return c.run(mode).take();
    };
    const Verdict drafted = with({2, 3});
    EXPECT_EQ(drafted.accepted, 2) << mode_name(mode);
    EXPECT_EQ(drafted.next, -1);
    EXPECT_TRUE(drafted.stopped);
    const Verdict last = with({3});
    EXPECT_EQ(last.accepted, 3);
    EXPECT_EQ(last.next, -1);
    const Verdict bonus = with({4});
    EXPECT_EQ(bonus.accepted, 3);
    EXPECT_EQ(bonus.next, 4);
    EXPECT_TRUE(bonus.stopped);
  }
}

TEST(Verifier, RowsBehindTheEndAreNotRead) {
  // Rows after a draft that can't stand have no meaning (a grammar's, say): NaN marks them.
  for (const Mode mode : kModes) {
    VerifierCase c = peaked({1, 2, 3, 4}, {1, 0, 3});
    c.rows[1][0] = -std::numeric_limits<float>::infinity();  // draft 0 is illegal there
    c.rows[2] = c.rows[3] = Row(kFewTokens, kNan);
    if (mode == Mode::kGreedy) c.params.temperature = 0;
    const auto verdict = c.run(mode);
    ASSERT_TRUE(verdict.ok()) << mode_name(mode) << verdict.message();
    EXPECT_EQ(verdict.value().accepted, 1);
    EXPECT_EQ(verdict.value().next, 2);

    VerifierCase stop = peaked({1, 2, 3, 4}, {1, 2, 3});
    stop.stops = {2};
    stop.rows[2] = stop.rows[3] = Row(kFewTokens, kNan);
    if (mode == Mode::kGreedy) stop.params.temperature = 0;
    ASSERT_TRUE(stop.run(mode).ok()) << mode_name(mode);
    EXPECT_EQ(stop.run(mode).value().accepted, 2);
  }
}

TEST(Verifier, RowsWithoutADistributionAreErrors) {
  for (const Mode mode : kModes)
    for (size_t bad = 0; bad < 3; ++bad) {
      VerifierCase c = peaked({1, 2, 3}, {1, 2});
      if (mode == Mode::kGreedy) c.params.temperature = 0;
      c.params.frequency_penalty = 0.1f;
      c.rows[bad][3] = kNan;
      sample::Sampler sampler(c.params, {}, kFewTokens);
      const auto verdict = c.run(mode, sampler);
      ASSERT_FALSE(verdict.ok()) << mode_name(mode) << bad;
      EXPECT_NE(verdict.message().find("token 3"), std::string::npos);
      // The drafts pushed so far were taken back.
      EXPECT_TRUE(c.run(mode, sampler).error().message == verdict.message());
    }
}

TEST(Verifier, LeavesTheSamplerAsItWas) {
  sample::Params params;
  params.temperature = 0.9f;
  params.repeat_penalty = 1.4f;
  params.presence_penalty = 0.7f;
  const ToyModel model(8, kFewTokens, 1);
  for (const Mode mode : {Mode::kCoupled, Mode::kRejection, Mode::kBlock})
    for (uint64_t seed = 0; seed < 50; ++seed) {
      VerifierCase c;
      c.params = params;
      c.params.seed = seed;
      c.drafts = {static_cast<int32_t>(seed % 5), 3, static_cast<int32_t>(seed % 3)};
      for (size_t i = 0; i < 4; ++i) c.rows.push_back(model.logits({static_cast<int32_t>(i)}));
      c.q.assign(3, Row(kFewTokens, 0.2f));
      sample::Sampler sampler(c.params, {}, kFewTokens), untouched(c.params, {}, kFewTokens);
      ASSERT_TRUE(c.run(mode, sampler, {0.3, 0.6, 0.2}).ok());
      Row a(kFewTokens), b(kFewTokens);
      ASSERT_TRUE(sampler.distribution(c.rows[0], a).ok());
      ASSERT_TRUE(untouched.distribution(c.rows[0], b).ok());
      EXPECT_EQ(a, b);
    }
}

TEST(Verifier, SparseDraftDistributionsEqualDenseOnes) {
  const ToyModel target(1, kFewTokens, 1), drafter(2, kFewTokens, 1);
  sample::Params params;
  params.temperature = 1;
  for (const Mode mode : {Mode::kRejection, Mode::kBlock})
    for (uint64_t seed = 0; seed < 200; ++seed) {
      params.seed = seed;
      const Tokens ids{4, 0, 2};  // the draft vocabulary
      const Tokens drafts{ids[seed % 3], ids[seed / 3 % 3]};
      std::vector<Row> rows, dense, sparse;
      for (int32_t i = 0; i < 3; ++i) {
        rows.push_back(target.logits({i}));
        Row logits = drafter.logits({i});
        logits[1] = logits[3] = -std::numeric_limits<float>::infinity();
        dense.push_back(distribution(params, {}, logits));
        sparse.push_back({dense.back()[4], dense.back()[0], dense.back()[2]});
      }
      const std::vector<std::span<const float>> spans(rows.begin(), rows.end());
      const std::vector<DraftDistribution> a{{{}, dense[0]}, {{}, dense[1]}};
      const std::vector<DraftDistribution> b{{ids, sparse[0]}, {ids, sparse[1]}};
      sample::Sampler sampler(params, {}, kFewTokens);
      Verifier first(mode, kFewTokens), second(mode, kFewTokens);
      const Verdict x = first.verify({3, drafts, spans, a, {}}, sampler).take();
      const Verdict y = second.verify({3, drafts, spans, b, {}}, sampler).take();
      EXPECT_EQ(x.accepted, y.accepted);
      EXPECT_EQ(x.next, y.next);
      EXPECT_TRUE(std::equal(first.thresholds().begin(), first.thresholds().end(),
                             second.thresholds().begin(), second.thresholds().end()));
    }
}

TEST(Verifier, TheSameCycleTwiceIsTheSame) {
  // Other cycles between, of other lengths: buffers carry nothing over.
  const ToyModel target(5, kFewTokens, 1);
  for (const Mode mode : {Mode::kCoupled, Mode::kRejection, Mode::kBlock}) {
    Verifier verifier(mode, kFewTokens);
    std::vector<std::vector<Verdict>> passes(2);
    for (auto& pass : passes)
      for (uint64_t seed = 0; seed < 60; ++seed) {
        const uint64_t number = &pass == &passes[0] ? seed : 59 - seed;
        const size_t n = number % 4;
        sample::Params params;
        params.temperature = 1;
        params.seed = number;
        sample::Sampler sampler(params, {}, kFewTokens);
        const Tokens drafts(n, static_cast<int32_t>(number % 5));
        const std::vector<Row> rows(n + 1, target.logits({static_cast<int32_t>(number)}));
        const Row uniform(kFewTokens, 0.2f);
        const std::vector<std::span<const float>> spans(rows.begin(), rows.end());
        const std::vector<DraftDistribution> q(n, DraftDistribution{{}, uniform});
        pass.push_back(verifier.verify({9, drafts, spans, q, {}}, sampler).take());
      }
    for (size_t i = 0; i < 60; ++i) {
      EXPECT_EQ(passes[0][i].accepted, passes[1][59 - i].accepted);
      EXPECT_EQ(passes[0][i].next, passes[1][59 - i].next);
    }
  }
}

}  // namespace
}  // namespace dspark::verify::testing

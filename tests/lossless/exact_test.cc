// Rejection and block verification keep the target's distribution exactly: every draft, every
// outcome and every continuation is enumerated. The same check finds rules that are wrong.
#include <gtest/gtest.h>

#include <random>

#include "lossless/toy.h"
#include "sanitized.h"

namespace dspark::verify::testing {
namespace {

// p and q are rounded to float, and rejection's thresholds are floored at q = 1e-8.
constexpr double kExact = 2e-6;
constexpr double kWrong = 1e-3;  // a fault must move some text's probability at least so far

Toy toy(uint64_t seed, int vocab = 3, int depth = 3) {
  Toy made{ToyModel(seed, vocab, 1.2f), ToyModel(seed + 1000, vocab, 1.2f), {}, depth, {}};
  made.params.temperature = 1;
  return made;
}

int whole(const Toy&, const Tokens& drafts) { return static_cast<int>(drafts.size()); }

// Goes on after each draft or not, by the drafts so far alone: a stopping time.
int adaptive(const Toy&, const Tokens& drafts) {
  uint32_t hash = 17;
  for (size_t i = 0; i < drafts.size(); ++i) {
    if ((hash >> 3) % 3 == 0) return static_cast<int>(i);
    hash = hash * 2654435761u + static_cast<uint32_t>(drafts[i]) * 40503u + 1;
    hash ^= hash >> 15;
  }
  return static_cast<int>(drafts.size());
}

// Cuts before the first draft that the target has no or little use for: it knows too much.
int before_unlikely(const Toy& s, const Tokens& drafts) {
  Tokens prefix;
  for (const int32_t id : drafts) {
    if (s.p(prefix)[static_cast<size_t>(id)] < 0.2f) break;
    prefix.push_back(id);
  }
  return static_cast<int>(prefix.size());
}

// Cuts before the first draft of which the drafter itself was unsure: a score of the drawn token.
int before_unsure(const Toy& s, const Tokens& drafts) {
  Tokens prefix;
  for (const int32_t id : drafts) {
    if (s.q(prefix)[static_cast<size_t>(id)] < 0.3f) break;
    prefix.push_back(id);
  }
  return static_cast<int>(prefix.size());
}

double error_of(const Toy& s, const Rule& rule, const LengthRule& length) {
  return largest_difference(text_law(s, rule, length), target_law(s));
}

class Exact : public ::testing::TestWithParam<Mode> {
 protected:
  Rule rule() const { return verifier_rule(GetParam()); }
};

TEST_P(Exact, EveryDraftVerified) {
  for (uint64_t seed = 0; seed < 12; ++seed)
    EXPECT_LT(error_of(toy(seed), rule(), whole), kExact) << seed;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    EXPECT_LT(error_of(toy(seed, 2, 5), rule(), whole), kExact) << seed;
    EXPECT_LT(error_of(toy(seed, 6, 2), rule(), whole), kExact) << seed;
  }
}

TEST_P(Exact, EveryFixedLength) {
  for (int n = 0; n <= 3; ++n)
    EXPECT_LT(error_of(toy(5), rule(), [n](const Toy&, const Tokens&) { return n; }), kExact);
}

TEST_P(Exact, LengthsThatFollowTheDraftsSoFar) {
  for (uint64_t seed = 0; seed < 12; ++seed)
    EXPECT_LT(error_of(toy(seed), rule(), adaptive), kExact) << seed;
}

TEST_P(Exact, FiltersPenaltiesAndBias) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Toy s = toy(seed, 4, 2);
    s.params.temperature = 0.8f;
    s.params.repeat_penalty = 1.7f;
    s.params.frequency_penalty = 0.4f;
    s.params.logit_bias = {{1, 0.5f}};
    if (seed % 2) s.params.top_k = 2;  // some drafts become illegal: p = 0
    if (seed % 4 == 2) s.params.top_p = 0.7f;
    if (seed % 4 == 0) s.params.min_p = 0.2f;
    EXPECT_LT(error_of(s, rule(), whole), kExact) << seed;
    EXPECT_LT(error_of(s, rule(), adaptive), kExact) << seed;
  }
}

TEST_P(Exact, DraftVocabularies) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    Toy s = toy(seed, 4, 2);
    s.draft_vocab = 2;
    EXPECT_LT(error_of(s, rule(), whole), kExact) << seed;
  }
}

TEST_P(Exact, StopTokens) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Toy s = toy(seed);
    s.stops = {1};
    EXPECT_LT(error_of(s, rule(), whole), kExact) << seed;
    EXPECT_LT(error_of(s, rule(), adaptive), kExact) << seed;
    s.stops = {0, 2};
    EXPECT_LT(error_of(s, rule(), whole), kExact) << seed;
  }
}

TEST_P(Exact, TheDrafterIsTheTarget) {
  Toy s = toy(3);
  s.drafter = s.target;
  EXPECT_LT(error_of(s, rule(), whole), kExact);
  s.params.temperature = 0;
  EXPECT_LT(error_of(s, rule(), whole), kExact);
}

TEST_P(Exact, ACutBeforeAnUnwantedDraftIsCaught) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    EXPECT_GT(error_of(toy(seed), rule(), before_unlikely), kWrong) << seed;
    EXPECT_GT(error_of(toy(seed), rule(), before_unsure), kWrong) << seed;
    Toy filtered = toy(seed);
    filtered.params.top_k = 2;  // here it cuts before illegal drafts
    EXPECT_GT(error_of(filtered, rule(), before_unlikely), kWrong) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Exact, ::testing::Values(Mode::kRejection, Mode::kBlock),
                         [](const auto& mode) { return std::string(mode_name(mode.param)); });

TEST(ExactRules, WrongRulesAreCaught) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const Toy s = toy(seed);
    EXPECT_LT(error_of(s, plain_rejection(Fault::kNone), whole), kExact) << seed;
    EXPECT_GT(error_of(s, plain_rejection(Fault::kRatioUpsideDown), whole), kWrong) << seed;
    EXPECT_GT(error_of(s, plain_rejection(Fault::kResidualFromP), whole), kWrong) << seed;
  }
}

TEST(ExactRules, BlockIsNotRejectionAndAcceptsNoLess) {
  const auto accepted = [](const Toy& s, Mode mode) {
    double sum = 0;
    const Rule law = verifier_rule(mode);
    text_law(
        s,
        [&](const Toy& same, const Drafted& drafted) {
          double chance = 1;
          Tokens prefix;
          for (size_t i = 0; i < drafted.drafts.size(); ++i)
            chance *= double{drafted.q[i][static_cast<size_t>(drafted.drafts[i])]};
          const std::vector<Outcome> outcomes = law(same, drafted);
          for (const Outcome& o : outcomes) sum += chance * o.chance * o.accepted;
          return outcomes;
        },
        whole);
    return sum;
  };
  for (uint64_t seed = 0; seed < 12; ++seed)
    EXPECT_GT(accepted(toy(seed), Mode::kBlock), accepted(toy(seed), Mode::kRejection) + 1e-3);
}

// One cycle and the target's continuation, sampled; the p-value against the target's law.
double sampled_fit(const Toy& t, const Rule& rule, const LengthRule& length, int texts) {
  std::mt19937 random(99);
  const auto pick = [&](const std::vector<double>& chances) {
    std::discrete_distribution<int32_t> chosen(chances.begin(), chances.end());
    return chosen(random);
  };
  const size_t size = static_cast<size_t>(t.depth) + 1;
  std::vector<double> law = target_law(t);
  std::vector<int64_t> counts(law.size(), 0);
  for (int i = 0; i < texts; ++i) {
    Drafted drafted;
    for (int j = 0; j < t.depth; ++j) {
      drafted.q.push_back(t.q(drafted.drafts));
      drafted.drafts.push_back(pick(normalised(drafted.q.back())));
    }
    const auto n = static_cast<size_t>(length(t, drafted.drafts));
    drafted.drafts.resize(n);
    drafted.q.resize(n);
    for (size_t j = 0; j <= n; ++j) {
      const Tokens prefix(drafted.drafts.begin(),
                          drafted.drafts.begin() + static_cast<ptrdiff_t>(j));
      drafted.rows.push_back(t.target.logits(prefix));
      drafted.p.push_back(t.p(prefix));
    }
    const std::vector<Outcome> outcomes = rule(t, drafted);
    std::vector<double> chances;
    for (const Outcome& o : outcomes) chances.push_back(o.chance);
    const Outcome& o = outcomes[static_cast<size_t>(pick(chances))];
    Tokens text(drafted.drafts.begin(), drafted.drafts.begin() + o.accepted);
    text.push_back(pick(o.next));
    while (text.size() < size) text.push_back(pick(normalised(t.p(text))));
    size_t number = 0;
    for (const int32_t id : text)
      number = number * static_cast<size_t>(t.target.vocab() + 1) + static_cast<size_t>(id);
    ++counts[number];
  }
  return goodness_of_fit(counts, law);
}

TEST(ExactRules, SamplesCatchTheSameFaults) {
  // 20,000 texts over 9 cells: a text in 9 off by a tenth of its probability adds 22 to a statistic
  // of 8 +- 4, beyond the 1e-3 point (26) with a power of about 0.7; these faults move more.
  const int texts = dspark::testing::kSanitized ? 4000 : 20000;
  const Toy t = toy(4, 3, 1);
  for (const Mode mode : {Mode::kRejection, Mode::kBlock}) {
    EXPECT_GT(sampled_fit(t, verifier_rule(mode), whole, texts), 1e-3);
    EXPECT_LT(sampled_fit(t, verifier_rule(mode), before_unlikely, texts), 1e-6);
  }
  EXPECT_GT(sampled_fit(t, plain_rejection(Fault::kNone), whole, texts), 1e-3);
  EXPECT_LT(sampled_fit(t, plain_rejection(Fault::kRatioUpsideDown), whole, texts), 1e-6);
  EXPECT_LT(sampled_fit(t, plain_rejection(Fault::kResidualFromP), whole, texts), 1e-6);
}

}  // namespace
}  // namespace dspark::verify::testing

// Whole generations, cycle after cycle, with the room's own variates and planners, against the
// target's distribution. What one cycle's enumeration can't see shows here: variates that come
// again, and plans that know too much.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "lossless/toy.h"
#include "sanitized.h"

namespace dspark::verify::testing {
namespace {

constexpr int kSampledVocab = 3, kSampledSlots = 3, kTokens = 5;
constexpr int kTail = 3;  // tokens compared: the first and the last three of five

// Rows by prefix, made once.
struct Cached {
  struct Place {
    Row logits, q;
    double confidence;
  };
  Toy toy;
  std::map<Tokens, Place> places;

  const Place& at(const Tokens& prefix) {
    auto [place, made] = places.try_emplace(prefix);
    if (made) {
      const Row p = toy.p(prefix);
      Place& row = place->second;
      row.logits = toy.target.logits(prefix);
      row.q = toy.q(prefix);
      // A good drafter's own estimate of its acceptance, which depends on the token before.
      row.confidence = 0;
      for (size_t v = 0; v < p.size(); ++v) row.confidence += double{std::min(p[v], row.q[v])};
    }
    return place->second;
  }
};

// A step's cost, under which the planners' lengths follow the confidences.
class Cost : public StepCost {
 public:
  // A knee: the second slot is worth its row or not.
  // A cliff: the first slot never is, unless those behind it are verified with it.
  explicit Cost(bool cliff) : cliff_(cliff) {}
  double step_ms(int rows) const override {
    if (cliff_) return rows == 1 ? 1 : 1.8 + 0.2 * (rows - 2);
    return rows <= 2 ? 1 : 1 + 0.25 * (rows - 2);
  }

 private:
  bool cliff_;
};

// Where a cycle's variates come from.
enum class Variates { kByAnchor, kBySlotPosition };

struct Generator {
  Cached& cached;
  Mode mode;
  Planner& planner;
  Variates variates = Variates::kByAnchor;
  Cost cost{false};
  Verifier verifier{mode, kSampledVocab};
  std::vector<int64_t> lengths = std::vector<int64_t>(kSampledSlots + 1, 0);  // how often planned

  Tokens generate(uint64_t seed) {
    sample::Params params = cached.toy.params;
    params.seed = seed;
    sample::Sampler sampler(params, {}, kSampledVocab);
    std::vector<double> older, old;  // survival two cycles ago, and one
    Tokens text;
    while (static_cast<int>(text.size()) < kTokens) cycle(sampler, text, older, old);
    text.resize(kTokens);
    return text;
  }

  double variate(uint64_t seed, int64_t anchor, int slot, sample::Purpose purpose) const {
    return variates == Variates::kByAnchor ? sample::uniform(seed, anchor, slot, purpose)
                                           : sample::uniform(seed, anchor + slot, 0, purpose);
  }

  void cycle(sample::Sampler& sampler, Tokens& text, std::vector<double>& older,
             std::vector<double>& old) {
    const auto anchor = static_cast<int64_t>(text.size()) - 1;
    const uint64_t seed = sampler.params().seed;
    Tokens prefix = text;
    std::vector<double> confidence, survival, accept;
    double product = 1;
    for (int j = 0; j < kSampledSlots; ++j) {
      const auto& place = cached.at(prefix);
      confidence.push_back(place.confidence);
      survival.push_back(product *= place.confidence);
      accept.push_back(variate(seed, anchor, j, sample::Purpose::kAccept));
      prefix.push_back(sample::draw(place.q, variate(seed, anchor, j, sample::Purpose::kDraft)));
    }
    RequestView view;
    view.drafted = kSampledSlots;
    view.confidence = confidence;
    view.survival = survival;
    view.lagged_survival = older;
    int length = 0;
    planner.plan({{&view, 1}}, cost, {&length, 1});
    ++lengths[static_cast<size_t>(length)];
    older = old;
    old = survival;

    const auto n = static_cast<size_t>(length);
    const Tokens drafts(prefix.begin() + static_cast<ptrdiff_t>(text.size()),
                        prefix.begin() + static_cast<ptrdiff_t>(text.size() + n));
    prefix = text;
    std::vector<std::span<const float>> rows;
    std::vector<DraftDistribution> q;
    for (size_t i = 0; i <= n; ++i) {
      const auto& place = cached.at(prefix);
      rows.push_back(place.logits);
      if (i == n) break;
      q.push_back({{}, place.q});
      prefix.push_back(drafts[i]);
    }
    accept.resize(n);
    const CycleInput input{anchor, drafts, rows, q, {}};
    const auto verdict =
        variates == Variates::kByAnchor
            ? verifier.verify(input, sampler)
            : verifier.verify(input, {accept, variate(seed, anchor, 0, sample::Purpose::kNext)},
                              sampler);
    const auto a = static_cast<ptrdiff_t>(verdict.value().accepted);
    text.insert(text.end(), drafts.begin(), drafts.begin() + a);
    text.push_back(verdict.value().next);
  }
};

size_t number_of(const Tokens& text, size_t begin) {
  size_t number = 0;
  for (size_t i = begin; i < begin + kTail; ++i)
    number = number * kSampledVocab + static_cast<size_t>(text[i]);
  return number;
}

void target_tails(const Toy& toy, Tokens& text, double chance, size_t begin,
                  std::vector<double>& law) {
  if (text.size() == begin + kTail) {
    law[number_of(text, begin)] += chance;
    return;
  }
  const std::vector<double> p = normalised(toy.p(text));
  for (int32_t v = 0; v < kSampledVocab; ++v) {
    text.push_back(v);
    target_tails(toy, text, chance * p[static_cast<size_t>(v)], begin, law);
    text.pop_back();
  }
}

Toy toy() {
  Toy made{
      ToyModel(21, kSampledVocab, 0.8f), ToyModel(22, kSampledVocab, 0.8f), {}, kSampledSlots, {}};
  made.params.temperature = 1;
  return made;
}

// The smaller p-value of the two tails. 200,000 texts over 27 cells: a text in 27 off by a tenth of
// its probability adds about 74 to a statistic of 26 +- 7.2, and is found at 1e-4 (63) with a power
// of about 0.98.
double worst_fit(Generator& generator, int texts) {
  std::vector<int64_t> first(27, 0), last(27, 0);
  for (int i = 0; i < texts; ++i) {
    const Tokens text = generator.generate(static_cast<uint64_t>(i));
    ++first[number_of(text, 0)];
    ++last[number_of(text, kTokens - kTail)];
  }
  double worst = 1;
  for (const size_t begin : {size_t{0}, size_t{kTokens - kTail}}) {
    std::vector<double> law(27, 0);
    Tokens text;
    target_tails(generator.cached.toy, text, 1, begin, law);
    worst = std::min(worst, goodness_of_fit(begin == 0 ? first : last, law));
  }
  return worst;
}

const int kTexts = dspark::testing::kSanitized ? 20000 : 200000;
constexpr int kFaultTexts = 200000;  // fewer would not show a small bias

class Sampled : public ::testing::TestWithParam<std::tuple<Mode, const char*>> {};

TEST_P(Sampled, KeepsTheDistribution) {
  const auto [mode, name] = GetParam();
  const PlannerSpec spec = parse_planner(name).take();
  const auto planner = make_planner(spec, mode).take();
  Cached cached{toy(), {}};
  Generator generator{cached, mode, *planner};
  EXPECT_GT(worst_fit(generator, kTexts), 1e-4);
  // The case is one only if lengths follow the drafts.
  const bool varies = spec.kind != PlannerKind::kOff && spec.kind != PlannerKind::kFixed;
  EXPECT_EQ(std::count_if(generator.lengths.begin(), generator.lengths.end(),
                          [](int64_t n) { return n > kTexts / 20; }) > 1,
            varies);
}

INSTANTIATE_TEST_SUITE_P(Planners, Sampled,
                         ::testing::Combine(::testing::Values(Mode::kRejection, Mode::kBlock),
                                            ::testing::Values("off", "fixed:2", "fixed:3",
                                                              "threshold:0.75", "causal",
                                                              "lagged")),
                         [](const auto& tested) {
                           std::string name = std::string(mode_name(std::get<0>(tested.param))) +
                                              "_" + std::get<1>(tested.param);
                           for (char& c : name)
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           return name;
                         });

TEST(SampledFaults, AGlobalPlanIsCaught) {
  // Made for coupled verification, where it is lossless, and used in the others.
  const auto planner = make_planner({PlannerKind::kGlobal, 0, 0}, Mode::kCoupled).take();
  for (const Mode mode : {Mode::kRejection, Mode::kBlock}) {
    Cached cached{toy(), {}};
    Generator generator{cached, mode, *planner};
    generator.cost = Cost(true);
    EXPECT_LT(worst_fit(generator, kFaultTexts), 1e-6) << mode_name(mode);
  }
}

TEST(SampledFaults, VariatesThatComeAgainAreCaught) {
  // Keyed by the slot's position instead of the cycle's anchor: where a block ends depends on all
  // its variates, so those behind its end are no longer free.
  const auto planner = make_planner({PlannerKind::kFixed, kSampledSlots, 0}, Mode::kBlock).take();
  Cached cached{toy(), {}};
  Generator generator{cached, Mode::kBlock, *planner, Variates::kBySlotPosition};
  EXPECT_LT(worst_fit(generator, kFaultTexts), 1e-6);
}

}  // namespace
}  // namespace dspark::verify::testing

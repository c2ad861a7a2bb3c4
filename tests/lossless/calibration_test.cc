// Calibration beyond the fixture's STS: scale and offset, the choice between the forms, how sure
// figures are, and which calibration applies.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "verify/verify.h"

namespace dspark::verify {
namespace {

// Answers whose drafts stand with probability sigmoid(scale * logit + offset).
class World {
 public:
  World(double scale, double offset, int prompts, int cycles_each, int slots) : slots_(slots) {
    std::mt19937 random(4);
    std::normal_distribution<float> normal(0.5f, 2);
    std::uniform_real_distribution<double> uniform;
    logits_.reserve(static_cast<size_t>(prompts * cycles_each));
    for (int p = 0; p < prompts; ++p) {
      PromptCycles cycles;
      for (int c = 0; c < cycles_each; ++c) {
        std::vector<float>& row = logits_.emplace_back();
        for (int k = 0; k < slots; ++k) row.push_back(normal(random));
        const auto chance = [&](int k) {
          return 1 / (1 + std::exp(-scale * double{row[static_cast<size_t>(k)]} - offset));
        };
        int accepted = 0;
        while (accepted < slots && uniform(random) < chance(accepted)) ++accepted;
        cycles.push_back({row, slots, accepted});
      }
      prompts_.push_back(std::move(cycles));
    }
  }
  const std::vector<PromptCycles>& prompts() const { return prompts_; }
  PromptCycles cycles() const {
    PromptCycles all;
    for (const PromptCycles& prompt : prompts_) all.insert(all.end(), prompt.begin(), prompt.end());
    return all;
  }
  CalibrationChoice choice() const {
    auto made = choose_calibration(prompts_, slots_);
    CHECK(made.ok(), "{}", made.message());
    return made.take();
  }

 private:
  int slots_;
  std::vector<std::vector<float>> logits_;
  std::vector<PromptCycles> prompts_;
};

TEST(ScaleOffset, FindsWhatMadeTheOutcomes) {
  for (const auto& [scale, offset] :
       {std::pair(1.0, 0.0), std::pair(0.5, 1.0), std::pair(2.0, -1.0), std::pair(1.3, 0.6)}) {
    const World world(scale, offset, 200, 150, 3);
    const auto fit = fit_scale_offset(world.cycles(), 3);
    ASSERT_TRUE(fit.ok());
    const Calibration& found = fit.value().calibration;
    ASSERT_TRUE(validate(found).ok());
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(1 / found.temperatures[k], scale, 0.1 * scale + 0.05) << scale << ' ' << k;
      EXPECT_NEAR(found.offsets[k], offset, 0.2) << offset << ' ' << k;
      EXPECT_LT(fit.value().ece_after[k], 0.012);
    }
  }
}

// Outcomes that certainties decide, with logits that know a part of them.
TEST(ScaleOffset, WeighsTheCertainty) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<std::vector<float>> logits(20000), certainties(20000);
  std::vector<PromptCycles> prompts(200);
  for (size_t i = 0; i < logits.size(); ++i) {
    int accepted = 2;
    for (int k = 1; k >= 0; --k) {
      const float u = 2 * normal(random), z = normal(random);
      logits[i].insert(logits[i].begin(), z);
      certainties[i].insert(certainties[i].begin(), u);
      if (uniform(random) > 1 / (1 + std::exp(-0.5 * double{z} - 0.8 * double{u} + 0.4)))
        accepted = k;
    }
    prompts[i % 200].push_back({logits[i], 2, accepted, certainties[i]});
  }
  PromptCycles all, without;
  for (const PromptCycles& prompt : prompts) all.insert(all.end(), prompt.begin(), prompt.end());
  const Calibration found = fit_scale_offset(all, 2).take().calibration;
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(1 / found.temperatures[k], 0.5, 0.08) << k;
    EXPECT_NEAR(found.weights[k], 0.8, 0.08) << k;
    EXPECT_NEAR(found.offsets[k], -0.4, 0.08) << k;
  }
  EXPECT_TRUE(validate(found).ok());
  EXPECT_EQ(as_stored(found).weights, found.weights);
  EXPECT_FALSE(validate({{1}, {0}, {std::nan("")}}).ok());
  EXPECT_FALSE(validate({{1}, {}, {1}}).ok());

  // It is chosen for telling drafts apart.
  const CalibrationChoice choice = choose_calibration(prompts, 2).take();
  EXPECT_EQ(form_of(choice.calibration), CalibrationForm::kScaleOffset);
  EXPECT_GT(choice.gain.brier->low, 0);
  EXPECT_GT(*choice.scale_offset.sample.metrics().summary().auc,
            *choice.sts.sample.metrics().summary().auc + 0.1);

  // One cycle whose certainties nobody knows: none are weighed.
  all[7].certainty = {};
  EXPECT_TRUE(fit_scale_offset(all, 2).take().calibration.weights.empty());
  all[7].certainty = std::span(certainties[0]).first(1);
  EXPECT_FALSE(fit_scale_offset(all, 2).ok());
}

TEST(ScaleOffset, OfOutcomesThatAreAllAlike) {
  std::mt19937 random(1);
  std::vector<std::vector<float>> rows(40, std::vector<float>(2));
  for (const bool constant : {false, true})
    for (const int accepted : {0, 1, 2}) {
      PromptCycles cycles;
      for (auto& row : rows) {
        for (float& z : row) z = constant ? 1.5f : static_cast<float>(random() % 100) / 10 - 5;
        cycles.push_back({row, 2, accepted});
      }
      const auto fit = fit_scale_offset(cycles, 2);
      ASSERT_TRUE(fit.ok());
      EXPECT_TRUE(validate(fit.value().calibration).ok());
      for (const double ece : fit.value().ece_after) EXPECT_LT(ece, 0.01);
    }
}

TEST(ScaleOffset, SameErrorsAsSts) {
  const std::vector<float> row{1, 2};
  const std::vector<ObservedCycle> short_ones{{row, 1, 1}};
  EXPECT_EQ(fit_scale_offset(short_ones, 2).message(), fit_calibration(short_ones, 2).message());
  EXPECT_FALSE(fit_scale_offset({}, 2).ok());
}

TEST(Calibration, OffsetsShiftTheLogit) {
  std::vector<double> confidence(2), survived(2);
  const std::vector<float> logits{2, 1};
  survival(logits, {}, {{4}, {0.5}}, confidence, survived);
  EXPECT_NEAR(confidence[0], 1 / (1 + std::exp(-1.0)), 1e-15);
  EXPECT_NEAR(confidence[1], 1 / (1 + std::exp(-1.0)), 1e-15);  // beyond both: raw
  EXPECT_FALSE(validate({{1}, {std::nan("")}}).ok());
  survival(logits, std::vector<float>{3, 1}, {{4}, {0.5}, {-0.25}}, confidence, survived);
  EXPECT_NEAR(confidence[0], 1 / (1 + std::exp(-0.25)), 1e-15);
  EXPECT_NEAR(confidence[1], 1 / (1 + std::exp(-1.0)), 1e-15);
  EXPECT_STREQ(form_name(form_of({{1}, {}})), "sts");
  EXPECT_STREQ(form_name(form_of({{1}, {0}})), "scale_offset");
  EXPECT_EQ(as_stored({{1.07}, {}}).temperatures[0], double{1.07f});
}

TEST(Choice, StsWhereATemperatureIsAllThatIsWrong) {
  const CalibrationChoice choice = World(0.5, 0, 200, 60, 3).choice();
  EXPECT_EQ(form_of(choice.calibration), CalibrationForm::kSts);
  EXPECT_NEAR(choice.calibration.temperatures[0], 2, 0.4);
  EXPECT_EQ(&choice.chosen(), &choice.sts);
  EXPECT_LE(choice.gain.ece->low, 0);
  EXPECT_LT(choice.sts.sample.metrics().summary().ece, choice.raw.sample.metrics().summary().ece);
}

TEST(Choice, ScaleAndOffsetWhereTheyAreMeasurablyBetter) {
  const World world(1, 1.5, 200, 60, 3);
  const CalibrationChoice choice = world.choice();
  EXPECT_EQ(form_of(choice.calibration), CalibrationForm::kScaleOffset);
  EXPECT_NEAR(choice.calibration.offsets[0], 1.5, 0.2);
  EXPECT_GT(choice.gain.ece->low, 0);
  EXPECT_LT(*choice.scale_offset.sample.metrics().summary().ece, 0.02);
  EXPECT_EQ(choice.calibration.offsets, as_stored(choice.calibration).offsets);
  // Scored on half the prompts, fitted to the other; the same each time.
  EXPECT_EQ(choice.raw.sample.prompts(), 100u);
  EXPECT_EQ(choice.raw.sample.cycles(), 100u * 60);
  EXPECT_NE(choice.scale_offset.calibration.offsets, choice.calibration.offsets);
  const CalibrationChoice again = world.choice();
  EXPECT_EQ(again.calibration.temperatures, choice.calibration.temperatures);
  EXPECT_EQ(again.gain.ece->low, choice.gain.ece->low);
}

TEST(Choice, NeedsTwoPrompts) {
  const World world(1, 0, 1, 50, 2);
  const auto choice = choose_calibration(world.prompts(), 2);
  ASSERT_FALSE(choice.ok());
  EXPECT_NE(choice.message().find("more prompts"), std::string::npos);
  EXPECT_FALSE(choose_calibration({}, 2).ok());
}

TEST(ConfidenceSample, IntervalsHoldTheFigures) {
  const CalibrationChoice choice = World(1, 0.4, 100, 40, 3).choice();
  for (const HeldOut* held_out : {&choice.raw, &choice.sts, &choice.scale_offset}) {
    const ConfidenceQuality all = held_out->sample.metrics().summary();
    const auto holds = [](const std::optional<Interval>& interval, double figure, double width) {
      ASSERT_TRUE(interval.has_value());
      EXPECT_LE(interval->low, figure);
      EXPECT_GE(interval->high, figure);
      EXPECT_LT(interval->high - interval->low, width);
      EXPECT_LT(interval->low, interval->high);
    };
    holds(held_out->intervals.ece, *all.ece, 0.05);
    holds(held_out->intervals.auc, *all.auc, 0.05);
    holds(held_out->intervals.brier, *all.brier, 0.05);
  }
}

TEST(ConfidenceSample, CountsPromptsAsOftenAsTheyAreDrawn) {
  ConfidenceSample sample(2);
  ConfidenceMetrics twice(2);
  const std::vector<std::vector<double>> predicted{{0.9, 0.5}, {0.3, 0.1}, {0.6, 0.6}};
  for (int p = 0; p < 3; ++p) {
    sample.begin_prompt();
    const auto& row = predicted[static_cast<size_t>(p)];
    sample.add(row, 2, p);
    if (p == 1) sample.add(row, 1, 0);
    for (int i = 0; i < 2 - p; ++i) {
      twice.add(row, 2, p);
      if (p == 1) twice.add(row, 1, 0);
    }
  }
  const ConfidenceMetrics drawn = sample.resampled(std::vector<int>{2, 1, 0});
  for (int k = 0; k < 2; ++k) {
    EXPECT_EQ(drawn.at(k).count, twice.at(k).count);
    EXPECT_NEAR(*drawn.at(k).ece, *twice.at(k).ece, 1e-15);
    EXPECT_NEAR(*drawn.at(k).brier, *twice.at(k).brier, 1e-15);
    EXPECT_EQ(drawn.at(k).auc.has_value(), twice.at(k).auc.has_value());
  }
  EXPECT_EQ(sample.metrics().at(0).count, 4);
  const ConfidenceSample none(2);
  EXPECT_FALSE(bootstrap(none).ece.has_value());
  EXPECT_FALSE(bootstrap_gain(none, none).ece.has_value());
}

TEST(Matching, ByModeAndNearestTemperature) {
  const std::vector<ModeCalibration> all{{Mode::kGreedy, 0, {}},
                                         {Mode::kCoupled, 0.5, {}},
                                         {Mode::kCoupled, 1, {}},
                                         {Mode::kRejection, 1, {}}};
  const auto found = [&](Mode mode, double t) { return matching_calibration(all, mode, t); };
  for (const Mode mode : {Mode::kGreedy, Mode::kCoupled, Mode::kRejection, Mode::kBlock})
    EXPECT_EQ(found(mode, 0), 0);
  EXPECT_EQ(found(Mode::kCoupled, 1), 2);
  EXPECT_EQ(found(Mode::kCoupled, 0.5), 1);
  EXPECT_EQ(found(Mode::kCoupled, 0.01), 1);
  EXPECT_EQ(found(Mode::kCoupled, 0.75), 1);  // as near to either: the lower
  EXPECT_EQ(found(Mode::kCoupled, 7), 2);
  EXPECT_EQ(found(Mode::kRejection, 0.3), 3);
  EXPECT_EQ(found(Mode::kBlock, 1), 3);
  const std::span<const ModeCalibration> few(all.data() + 1, 2);  // coupled alone
  EXPECT_EQ(matching_calibration(few, Mode::kCoupled, 0), -1);
  EXPECT_EQ(matching_calibration(few, Mode::kBlock, 1), -1);
  EXPECT_EQ(matching_calibration({}, Mode::kCoupled, 1), -1);
}

}  // namespace
}  // namespace dspark::verify

// Which calibration the engine applies to a request, that it plans with calibrated confidences, and
// what it says where it has none.
#include <gtest/gtest.h>

#include <algorithm>

#include "draft/draft.h"
#include "engine/support.h"

namespace dspark::engine {
namespace {

using testing::make_engine;
using testing::run_all;
using verify::Mode;

// Drafts token 5 with confidence logits of 0: one half, unless an offset says otherwise.
class Unsure : public draft::Drafter {
 public:
  explicit Unsure(std::vector<draft::StoredCalibration> calibrations)
      : calibrations_(std::move(calibrations)) {}
  const std::string& name() const override { return name_; }
  int slots() const override { return 4; }
  bool has_confidence() const override { return true; }
  const std::vector<draft::StoredCalibration>* calibrations() const override {
    return &calibrations_;
  }
  void draft(std::span<const draft::BlockRequest> requests) override {
    for (const draft::BlockRequest& request : requests) {
      const auto slots = static_cast<size_t>(request.slots);
      request.out->clear();
      request.out->ids.assign(slots, 5);
      request.out->confidence.assign(slots, 0);
      request.out->distributions.assign(slots, {{5}, {1}});
    }
  }

 private:
  std::vector<draft::StoredCalibration> calibrations_;
  std::string name_ = "unsure";
};

// Whose first slots, as many as given, are sure, and the others hopeless.
draft::StoredCalibration sure_of(Mode mode, double temperature, size_t slots) {
  draft::StoredCalibration stored;
  stored.fit = {mode, temperature, {std::vector<double>(4, 1), std::vector<double>(4, -9)}};
  std::fill_n(stored.fit.calibration.offsets.begin(), slots, 9);
  return stored;
}

std::unique_ptr<Engine> engine_of(Mode mode, const std::string& planner,
                                  const std::vector<draft::StoredCalibration>& calibrations) {
  Options options;
  options.verify = mode;
  options.planner = planner;
  options.threads = 1;
  options.make_drafter = [=](const draft::Place&) {
    return std::make_unique<Unsure>(calibrations);
  };
  return make_engine(testing::tiny_model(), options);
}

sample::Params params_at(float temperature) {
  sample::Params params;
  params.temperature = temperature;
  return params;
}

Request request_at(float temperature) {
  Request request;
  request.prompt_ids = {1, 2, 3};
  request.max_tokens = 12;
  request.ignore_eos = true;
  request.sampling = params_at(temperature);
  request.record_confidence = true;
  return request;
}

// Slots verified in a new engine's first cycle; none of these drafts stands, which soon makes an
// engine disbelieve what it was told of them.
int verified(Mode mode, const std::string& planner,
             const std::vector<draft::StoredCalibration>& calibrations, float temperature) {
  const auto engine = engine_of(mode, planner, calibrations);
  const Completion completion = run_all(*engine, {request_at(temperature)}, 1)[0];
  CHECK(completion.finish == Finish::kLength, "{}", completion.error);
  const auto& logits = completion.confidence_logits;
  EXPECT_TRUE(!logits.empty() &&
              std::all_of(logits.begin(), logits.end(), [](float z) { return z == 0; }));
  return completion.cycles.front().verified;
}

TEST(Calibration, ThatOfTheRequestsModeAndTemperature) {
  set_log_level(LogLevel::kError);
  const std::vector<draft::StoredCalibration> all{
      sure_of(Mode::kGreedy, 0, 1), sure_of(Mode::kCoupled, 1, 2), sure_of(Mode::kCoupled, 0.5, 3),
      sure_of(Mode::kRejection, 1, 4)};
  const auto coupled = engine_of(Mode::kCoupled, "threshold:0.9", all);
  EXPECT_EQ(verified(Mode::kCoupled, "threshold:0.9", all, 0), 1);
  EXPECT_EQ(verified(Mode::kCoupled, "threshold:0.9", all, 1), 2);
  EXPECT_EQ(verified(Mode::kCoupled, "threshold:0.9", all, 0.6f), 3);
  EXPECT_EQ(coupled->calibration(params_at(5))->temperature, 1);
  EXPECT_TRUE(coupled->info().warnings.empty());
  for (const Mode mode : {Mode::kRejection, Mode::kBlock}) {
    EXPECT_EQ(verified(mode, "threshold:0.9", all, 0), 1);
    EXPECT_EQ(verified(mode, "threshold:0.9", all, 0.7f), 4);
    const auto engine = engine_of(mode, "threshold:0.9", all);
    EXPECT_EQ(engine->calibration(params_at(0.7f))->mode, Mode::kRejection);
  }
  // Side by side in one batch, each its own.
  const auto both = run_all(*coupled, {request_at(0), request_at(1), request_at(0)}, 3);
  EXPECT_EQ(both[0].cycles.front().verified, 1);
  EXPECT_EQ(both[1].cycles.front().verified, 2);
  EXPECT_EQ(both[2].cycles.front().verified, 1);
}

TEST(Calibration, RawAndSaidSoWithout) {
  set_log_level(LogLevel::kError);
  const std::vector<draft::StoredCalibration> greedy{sure_of(Mode::kGreedy, 0, 4)};
  EXPECT_EQ(verified(Mode::kCoupled, "threshold:0.45", greedy, 0), 4);
  EXPECT_EQ(verified(Mode::kCoupled, "threshold:0.45", greedy, 1), 4);  // one half
  const auto engine = engine_of(Mode::kCoupled, "threshold:0.45", greedy);
  EXPECT_EQ(engine->calibration(params_at(1)), nullptr);
  run_all(*engine, {request_at(0)}, 1);
  EXPECT_TRUE(engine->info().warnings.empty());
  EXPECT_FALSE(engine->confidence(true)->learns());  // too little seen
  // Without a calibration, a dozen refused drafts are enough.
  EXPECT_GT(run_all(*engine, {request_at(1)}, 1)[0].cycles.front().verified, 0);
  EXPECT_EQ(run_all(*engine, {request_at(1)}, 1)[0].cycles.front().verified, 0);
  ASSERT_EQ(engine->info().warnings.size(), 1u);
  EXPECT_NE(engine->info().warnings[0].find("unsure: uncalibrated for coupled"), std::string::npos);

  // Of no consequence where no planner looks at confidences, or nothing is drafted.
  for (const char* planner : {"full", "fixed:2", "off"}) {
    const auto quiet = engine_of(Mode::kCoupled, planner, {});
    run_all(*quiet, {request_at(1)}, 1);
    EXPECT_TRUE(quiet->info().warnings.empty()) << planner;
  }
  const auto never = engine_of(Mode::kCoupled, "auto", {});
  Request plain = request_at(1);
  plain.never_draft = true;
  run_all(*never, {plain}, 1);
  EXPECT_TRUE(never->info().warnings.empty());
  run_all(*never, {request_at(0)}, 1);
  EXPECT_EQ(never->info().warnings.size(), 1u);
}

TEST(Calibration, NeverOfAnNgramDrafter) {
  Options options;
  options.drafter = "ngram";
  const auto engine = make_engine(testing::tiny_model(), options);
  run_all(*engine, {request_at(0)}, 1);
  EXPECT_EQ(engine->calibration({}), nullptr);
  EXPECT_TRUE(engine->info().warnings.empty());
}

}  // namespace
}  // namespace dspark::engine

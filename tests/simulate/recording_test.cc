// Synthetic answers have the acceptance that they were asked for, and confidences that tell the
// truth; frontiers are read between their points.
#include <gtest/gtest.h>

#include "simulate/support.h"

namespace dspark::simulate::testing {
namespace {

TEST(Recording, SyntheticTauIsTheClosedForm) {
  const std::vector<double> falling{0.9, 0.8, 0.7, 0.6, 0.5};
  EXPECT_DOUBLE_EQ(expected_tau(falling, 2), 1 + 0.9 + 0.72);
  EXPECT_DOUBLE_EQ(expected_tau(falling, 9), expected_tau(falling, 5));
  for (const double spread : {0.0, 0.3, 0.9}) {
    const Recording made = synthetic({.kinds = {{falling}}, .spread = spread, .seed = 7});
    EXPECT_NEAR(made.tau(), expected_tau(falling, 5), 0.02) << spread;
    EXPECT_EQ(made.slots(), 5);
  }
}

TEST(Recording, SyntheticConfidencesAreCalibratedAndTellMoreWithSpread) {
  double last_auc = 0.45;
  for (const double spread : {0.1, 0.4, 0.8}) {
    const verify::ConfidenceQuality quality = recording_of(0.7, 5, spread).quality();
    EXPECT_LT(*quality.ece, 0.01) << spread;
    EXPECT_GT(*quality.auc, last_auc + 0.05) << spread;
    last_auc = *quality.auc;
  }
}

TEST(Recording, KeepsWhatItIsGiven) {
  Recording recording;
  EXPECT_FALSE(Recording().finish().ok());
  recording.begin_answer(4);
  recording.begin_answer(9);
  recording.add(std::vector{0.5, 0.25, 1.0}, 1);
  recording.add({}, 0);
  ASSERT_TRUE(recording.finish().ok());
  ASSERT_EQ(recording.answers().size(), 1u);  // one had no cycles
  const Answer& answer = recording.answers()[0];
  EXPECT_EQ(answer.tokens, 9);
  EXPECT_EQ(answer.cycles[1].slots, 0);
  EXPECT_EQ(recording.survival(answer.cycles[0])[2], 0.125);
  EXPECT_EQ(recording.confidence(answer.cycles[0])[2], 1.0);
  EXPECT_DOUBLE_EQ(recording.tau(), 1.5);
}

TEST(Frontier, IsReadBetweenPoints) {
  const std::vector<SpeedPoint> curve{{100, 100}, {80, 160}, {40, 320}, {10, 300}};
  EXPECT_FALSE(total_at(curve, 101));
  EXPECT_EQ(*total_at(curve, 100), 100);
  EXPECT_EQ(*total_at(curve, 90), 130);
  EXPECT_EQ(*total_at(curve, 60), 240);
  EXPECT_EQ(*total_at(curve, 1), 320);  // a load too many is not taken
  EXPECT_EQ(*per_user_at(curve, 50), 100);
  EXPECT_EQ(*per_user_at(curve, 240), 60);
  EXPECT_EQ(*per_user_at(curve, 310), 42.5);
  EXPECT_FALSE(per_user_at(curve, 321));
}

}  // namespace
}  // namespace dspark::simulate::testing

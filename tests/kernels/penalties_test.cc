// What changes logits before a draw: penalties and biases; and the limits of all parameters.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "kernels/logit_rows.h"
#include "sample/sample.h"

namespace dspark::sample {
namespace {

TEST(Penalties, Repeat) {
  Params p;
  p.repeat_penalty = 2;
  Sampler sampler(p, std::vector<int32_t>{0, 0, 3}, 4);
  EXPECT_EQ(sampler.choose(std::vector<float>{4, 2.5f, 1, 4}, 0).take(), 1);  // 2, 2.5, 1, 2
  sampler.push(1);
  EXPECT_EQ(sampler.choose(std::vector<float>{4, 2.5f, 1, 4}, 0).take(), 0);  // once for two times
  EXPECT_EQ(sampler.choose(std::vector<float>{-1, -1.5f, -1.8f, -1}, 0).take(), 2);
  sampler.push(0);  // in the prompt already
  EXPECT_EQ(sampler.choose(std::vector<float>{4, 2.5f, 1, 3}, 0).take(), 0);
}

TEST(Penalties, PresenceAndFrequencyLookAtGeneratedTokensAlone) {
  Params p;
  p.presence_penalty = 1;
  p.frequency_penalty = 0.5f;
  const std::vector<float> row{3, 2, 0};
  Sampler sampler(p, std::vector<int32_t>{0, 0, 0, 0, 0}, 3);
  EXPECT_EQ(sampler.choose(row, 0).take(), 0);
  sampler.push(0);
  EXPECT_EQ(sampler.choose(row, 0).take(), 1);  // 1.5, 2, 0
  sampler.push(1);
  EXPECT_EQ(sampler.choose(row, 0).take(), 0);  // 1.5, 0.5, 0
  sampler.push(0);
  sampler.push(0);
  EXPECT_EQ(sampler.choose(row, 0).take(), 0);  // 0.5, 0.5, 0: the smaller id
  sampler.push(0);
  EXPECT_EQ(sampler.choose(row, 0).take(), 1);
}

TEST(Penalties, Bias) {
  Params p;
  p.logit_bias = {{2, 5.0f}, {0, -kInfinity}, {2, 1.0f}};
  Sampler sampler(p, {}, 3);
  EXPECT_EQ(sampler.choose(std::vector<float>{9, 4, 0}, 0).take(), 2);  // biases of one id add up
  EXPECT_EQ(sampler.choose(std::vector<float>{9, 7, 0}, 0).take(), 1);
}

TEST(Penalties, PopIsTheInverseOfPush) {
  Params p;
  p.temperature = 1;
  p.repeat_penalty = 1.3f;
  p.presence_penalty = 0.4f;
  p.frequency_penalty = 0.2f;
  const std::vector<float> row = random_row(5, 200, 1);
  const std::vector<int32_t> prompt = {4, 8};
  Sampler sampler(p, prompt, 200), straight(p, prompt, 200);
  std::mt19937 random(1);
  std::vector<int32_t> committed;
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> assumed;
    for (size_t i = 0; i < random() % 8; ++i) {
      assumed.push_back(static_cast<int32_t>(random() % 200));
      sampler.push(assumed.back());
    }
    while (!assumed.empty()) {
      sampler.pop(assumed.back());
      assumed.pop_back();
    }
    const int32_t id = sampler.choose(row, round).take();
    ASSERT_EQ(id, straight.choose(row, round).take());
    sampler.push(id);
    straight.push(id);
  }
}

TEST(Penalties, NamedErrors) {
  const auto message = [](auto change) {
    Params p;
    change(p);
    const Status status = validate(p, 10);
    return status.ok() ? std::string() : status.message();
  };
  EXPECT_EQ(message([](Params&) {}), "");
  for (float bad : {-1.0f, 2e6f, kNan, kInfinity})
    EXPECT_EQ(message([&](Params& p) { p.temperature = bad; }).rfind("temperature", 0), 0u);
  EXPECT_EQ(message([](Params& p) { p.top_k = -1; }).rfind("top-k", 0), 0u);
  for (float bad : {0.0f, 1.5f, kNan})
    EXPECT_EQ(message([&](Params& p) { p.top_p = bad; }).rfind("top-p", 0), 0u);
  for (float bad : {-0.1f, 1.5f, kNan})
    EXPECT_EQ(message([&](Params& p) { p.min_p = bad; }).rfind("min-p", 0), 0u);
  for (float bad : {0.0f, -1.0f, kNan, kInfinity})
    EXPECT_EQ(message([&](Params& p) { p.repeat_penalty = bad; }).rfind("repeat penalty", 0), 0u);
  EXPECT_NE(message([](Params& p) { p.presence_penalty = kNan; }), "");
  EXPECT_NE(message([](Params& p) { p.frequency_penalty = kInfinity; }), "");
  EXPECT_NE(message([](Params& p) {
              p.logit_bias = {{10, 1.0f}};
            }).find("0 to 9"),
            std::string::npos);
  EXPECT_NE(message([](Params& p) { p.logit_bias = {{-1, 1.0f}}; }), "");
  EXPECT_NE(message([](Params& p) { p.logit_bias = {{1, kNan}}; }), "");
}

}  // namespace
}  // namespace dspark::sample

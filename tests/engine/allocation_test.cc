// Once under way, steps take no memory: neither plain ones nor cycles of draft, plan, verify and
// commit.
#include <gtest/gtest.h>

#include "allocations.h"
#include "engine/support.h"
#include "sanitized.h"

namespace dspark::engine {
namespace {

void expect_none(const Options& options, float temperature, const char* what) {
  const auto engine = testing::make_engine(testing::tiny_model(), options);
  for (int i = 0; i < 6; ++i) {
    Request request;
    request.prompt_ids = {i, 2, 3, 4, 5, 6, 7, 8};
    request.max_tokens = 400;
    request.ignore_eos = true;
    request.sampling.temperature = temperature;
    request.sampling.seed = static_cast<uint64_t>(i);
    ASSERT_TRUE(engine->submit(request, {}).ok());
  }
  for (int step = 0; step < 30; ++step) engine->step();
  const int64_t before = dspark::testing::allocations;
  for (int step = 0; step < 30; ++step) engine->step();
  EXPECT_EQ(dspark::testing::allocations - before, 0) << what;
  ASSERT_FALSE(engine->idle()) << what;
}

TEST(Allocation, StepsTakeNone) {
  if (dspark::testing::kSanitized) GTEST_SKIP() << "not counted under a sanitizer";
  Options options;
  options.max_running = 6;
  options.cache_bytes = size_t{16} << 20;
  expect_none(options, 0, "plain, greedy");
  expect_none(options, 0.7f, "plain, sampled");
  options.planner = "fixed:4";
  options.drafter = testing::tiny_drafter("--confidence --type q8_0");
  expect_none(options, 0, "block drafter, greedy");
  expect_none(options, 0.7f, "block drafter, coupled");
  options.verify = verify::Mode::kBlock;
  expect_none(options, 0.7f, "block drafter, block verification");
  options.verify = verify::Mode::kCoupled;
  options.drafter = testing::tiny_drafter("--eagle3 --type q8_0 --block 4");
  expect_none(options, 0, "Eagle3, greedy");
  options.planner = "lagged";
  expect_none(options, 0, "Eagle3, lagged planner");
}

}  // namespace
}  // namespace dspark::engine

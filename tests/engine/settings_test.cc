// What requests of one batch may have of their own: planners, modes of verification, latency
// classes.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "engine/support.h"

namespace dspark::engine {
namespace {

using testing::make_engine;
using testing::run_all;

std::vector<Request> own_requests(size_t count, int tokens) {
  std::vector<Request> requests(count);
  for (size_t i = 0; i < count; ++i) {
    Request& r = requests[i];
    for (size_t k = 0; k < 10 + 7 * (i % 5); ++k)
      r.prompt_ids.push_back(static_cast<int32_t>(3 + (i * k + k * k) % 11));
    r.max_tokens = tokens;
    r.ignore_eos = true;
    if (i % 2 == 1) r.sampling.temperature = 0.8f, r.sampling.seed = i;
  }
  return requests;
}

verify::PlannerSpec planner(const char* text) { return verify::parse_planner(text).value(); }

TEST(Settings, RequestsHavePlannersOfTheirOwn) {
  const auto model = testing::tiny_model();
  const std::vector<Request> plain = own_requests(8, 40);
  const auto expected = run_all(*make_engine(model, {}), plain, 8);
  std::vector<Request> requests = plain;
  requests[1].planner = planner("fixed:2");
  requests[2].planner = planner("off");
  requests[3].planner = planner("threshold:0");
  requests[4].planner = planner("threshold:1");
  for (const char* usual : {"auto", "off", "fixed:1", "lagged"}) {
    Options options;
    options.drafter = testing::tiny_drafter("--confidence --type q8_0 --block 5");
    options.planner = usual;
    const auto got = run_all(*make_engine(model, options), requests, 8);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].ids, expected[i].ids) << usual << i;
    if (std::string(usual) == "off") continue;  // an engine that never drafts
    const auto verified = [&](size_t i) {
      int most = 0, drafted = 0;
      for (const Cycle& cycle : got[i].cycles) {
        most = std::max(most, cycle.verified);
        drafted = std::max(drafted, cycle.drafted);
      }
      return std::pair(drafted, most);
    };
    EXPECT_EQ(verified(1), std::pair(2, 2)) << usual;
    EXPECT_EQ(verified(2), std::pair(0, 0)) << usual;
    EXPECT_EQ(verified(3), std::pair(5, 5)) << usual;
    EXPECT_EQ(verified(4), std::pair(5, 0)) << usual;
    if (std::string(usual) == "fixed:1") {
      EXPECT_EQ(verified(5), std::pair(1, 1));
    }
  }
  const auto engine = make_engine(model, {});
  requests[0].planner = planner("global");
  const auto refused = engine->submit(requests[0], {});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.message().find("planner global"), std::string::npos);
}

// The text of a mode that depends on drafts is that of an engine of this mode; others' isn't
// touched.
TEST(Settings, RequestsHaveModesOfTheirOwn) {
  const auto model = testing::tiny_model();
  std::vector<Request> requests = own_requests(9, 40);
  Options options;
  options.drafter = testing::tiny_drafter("--confidence --type q8_0 --block 5");
  options.planner = "fixed:4";
  std::vector<std::vector<Completion>> by_mode;
  for (const auto mode : {verify::Mode::kCoupled, verify::Mode::kRejection, verify::Mode::kBlock}) {
    options.verify = mode;
    by_mode.push_back(run_all(*make_engine(model, options), requests, 9));
  }
  EXPECT_NE(by_mode[1][1].ids, by_mode[0][1].ids);
  for (size_t i = 0; i < requests.size(); ++i)
    requests[i].verify = i % 3 == 1   ? verify::Mode::kRejection
                         : i % 3 == 2 ? verify::Mode::kBlock
                                      : verify::Mode::kCoupled;
  for (const auto usual : {verify::Mode::kCoupled, verify::Mode::kBlock}) {
    options.verify = usual;
    const auto got = run_all(*make_engine(model, options), requests, 9);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].ids, by_mode[i % 3][i].ids) << i;
  }
  // Under a planner that looks at what was drafted such requests are planned without.
  options.verify = verify::Mode::kCoupled;
  options.planner = "global";
  const auto got = run_all(*make_engine(model, options), requests, 9);
  for (size_t i = 0; i < got.size(); i += 3) EXPECT_EQ(got[i].ids, by_mode[0][i].ids) << i;

  requests[1].verify = verify::Mode::kGreedy;
  EXPECT_FALSE(make_engine(model, options)->submit(requests[1], {}).ok());
}

struct Arrivals {
  std::vector<size_t> finished;  // in this order
  std::vector<Completion> completions;
};

// Submits requests[i] before step at[i].
Arrivals run_at(Engine& engine, const std::vector<Request>& requests, const std::vector<int>& at) {
  Arrivals all{{}, std::vector<Completion>(requests.size())};
  size_t submitted = 0;
  for (int step = 0; submitted < requests.size() || !engine.idle(); ++step) {
    for (size_t i = 0; i < requests.size(); ++i) {
      if (at[i] != step) continue;
      ++submitted;
      const auto id = engine.submit(requests[i], {nullptr, [&all, i](const Completion& done) {
                                                    all.finished.push_back(i);
                                                    all.completions[i] = done;
                                                  }});
      CHECK(id.ok(), "{}", id.message());
    }
    engine.step();
  }
  const Status integrity = engine.check_integrity();
  CHECK(integrity.ok(), "{}", integrity.message());
  return all;
}

TEST(Settings, RequestsInTheBackgroundLetOthersGoFirst) {
  const auto model = testing::tiny_model();
  std::vector<Request> requests = own_requests(5, 30);
  for (size_t i = 0; i < 3; ++i) requests[i].latency = LatencyClass::kBackground;
  Options options;
  options.max_running = 2;
  const auto engine = make_engine(model, options);
  const Arrivals all = run_at(*engine, requests, {0, 0, 0, 5, 6});
  EXPECT_EQ(std::vector<size_t>(all.finished.begin(), all.finished.begin() + 2),
            (std::vector<size_t>{3, 4}));
  EXPECT_EQ(all.completions[0].preemptions, 1);
  EXPECT_EQ(all.completions[1].preemptions, 1);
  EXPECT_EQ(all.completions[3].preemptions, 0);
  const auto alone = run_all(*engine, requests, 1);
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(all.completions[i].ids, alone[i].ids) << i;
}

TEST(Settings, NoRequestInTheBackgroundIsStarved) {
  const auto model = testing::tiny_model();
  const size_t count = 60;
  std::vector<Request> requests = own_requests(count, 12);
  std::vector<int> at(count);
  for (size_t i = 0; i < count; ++i) at[i] = static_cast<int>(i * 4);  // more than it can do
  requests[0].latency = requests[1].latency = LatencyClass::kBackground;
  Options options;
  options.max_running = 1;
  const Arrivals all = run_at(*make_engine(model, options), requests, at);
  for (const size_t i : {0, 1}) {
    const auto place = std::find(all.finished.begin(), all.finished.end(), i);
    EXPECT_LT(place - all.finished.begin(), 20) << i;
  }
}

}  // namespace
}  // namespace dspark::engine

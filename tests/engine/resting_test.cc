// Whether drafting rests where it does not pay, and what goes on while it does.
#include <gtest/gtest.h>

#include "engine/drafted.h"
#include "engine/support.h"
#include "sanitized.h"

namespace dspark::engine {
namespace {

using testing::expect_same;
using testing::make_engine;
using testing::Oracle;
using testing::requests_of;
using testing::run_all;

// Long enough for drafting to rest and try again.
std::vector<Request> long_requests() {
  std::vector<Request> requests = requests_of(4);
  for (Request& r : requests)
    r.max_tokens = dspark::testing::kSanitized ? 120 : 300, r.ignore_eos = true, r.stop.clear(),
    r.grammar.reset();
  return requests;
}

// One that knows nothing is asked now and then, one that knows all at every cycle.
TEST(Speculation, DraftingRestsWhereItDoesNotPay) {
  const auto model = testing::tiny_model();
  const std::vector<Request> requests = long_requests();
  const auto plain = run_all(*make_engine(model, {}), requests, 2);
  const auto share = [&](const Options& options) {
    double drafted = 0, cycles = 0;
    for (const Completion& c : run_all(*make_engine(model, options), requests, 2))
      for (const Cycle& cycle : c.cycles) drafted += cycle.drafted > 0, cycles += 1;
    return drafted / cycles;
  };
  Options options;
  options.drafter = testing::tiny_drafter("--confidence --type q8_0 --block 5 --seed 4");
  EXPECT_LT(share(options), dspark::testing::kSanitized ? 0.5 : 0.3);
  options.planner = "fixed:2";      // not asked to judge
  EXPECT_GT(share(options), 0.98);  // but where one token is left
  Oracle::Answers answers;
  for (size_t i = 0; i < requests.size(); ++i) answers[requests[i].prompt_ids] = plain[i].ids;
  options = {};
  options.make_drafter = [&](const draft::Place&) { return std::make_unique<Oracle>(answers, 0); };
  EXPECT_GT(share(options), 0.9);
}

// A request that gains nothing by the drafter's drafts still has what repeats looked up.
TEST(Speculation, WhatRepeatsIsLookedUpWhileDraftingRests) {
  const auto model = testing::tiny_model();
  std::vector<Request> requests = long_requests();
  for (Request& r : requests) r.sampling = {};
  const auto plain = run_all(*make_engine(model, {}), requests, 2);
  Options options;
  options.drafter =
      testing::tiny_drafter("--confidence --type q8_0 --block 5 --seed 4").string() + "+ngram";
  const auto drafted = run_all(*make_engine(model, options), requests, 2);
  expect_same(drafted, plain, "with look-up");
  int computed = 0, looked_up = 0, accepted = 0, cycles = 0;
  for (const Completion& c : drafted)
    for (const Cycle& cycle : c.cycles) {
      ++cycles;
      looked_up += cycle.looked_up;
      computed += cycle.drafted > 0 && !cycle.looked_up;
      if (cycle.looked_up) accepted += cycle.accepted;
    }
  EXPECT_LT(computed, cycles / (dspark::testing::kSanitized ? 2 : 3));
  EXPECT_GT(looked_up, cycles / 3);  // a tiny model repeats itself
  EXPECT_GT(accepted, looked_up);
}

}  // namespace
}  // namespace dspark::engine

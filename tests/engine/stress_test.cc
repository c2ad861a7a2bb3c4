// A cache that is far too small, requests that come, go and change: none lost, none wrong, none
// starved, and all is accounted for at the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "engine/support.h"
#include "sanitized.h"

namespace dspark::engine {
namespace {

using testing::make_engine;
using testing::run_all;

// One of a hundred texts, at one of its settings; what it says is a function of these alone.
Request request_of(unsigned kind) {
  std::mt19937 random(kind);
  Request r;
  r.prompt_ids.assign(20 * (kind % 4), 7);  // some begin alike
  for (size_t more = 1 + random() % 60; more > 0; --more)
    r.prompt_ids.push_back(static_cast<int32_t>(3 + random() % 12));
  r.max_tokens = 1 + static_cast<int>(random() % (kind % 4 == 0 ? 280 : 40));
  r.ignore_eos = kind % 3 != 0;
  if (kind % 2 == 1) r.sampling.temperature = 0.9f, r.sampling.seed = kind;
  if (kind % 5 == 2) r.sampling.repeat_penalty = 1.1f;
  if (kind % 7 == 3) r.stop = {"a"};
  return r;
}

struct Night {
  size_t finished = 0, cancelled = 0, wrong = 0;
  int64_t preemptions = 0, accepted = 0;
  int64_t longest_wait = 0;  // others that were submitted and finished in the meantime
};

Night run_night(Engine& engine, size_t count, const std::vector<Completion>& expected) {
  std::mt19937 random(5);
  Night night;
  std::map<RequestId, size_t> open;  // and when it came
  size_t submitted = 0;
  for (size_t step = 0; submitted < count || !open.empty(); ++step) {
    // By turns a crowd and a few, among whom those in the background run, too.
    while (submitted < count && open.size() < (step / 100 % 2 == 0 ? 40 : 5)) {
      const auto kind = static_cast<unsigned>(random() % expected.size());
      Request request = request_of(kind);
      request.latency = random() % 4 == 0 ? LatencyClass::kBackground : LatencyClass::kInteractive;
      request.never_draft = random() % 8 == 0;
      if (random() % 3 == 0) request.draft_max = static_cast<int>(random() % 6);
      if (random() % 6 == 0) request.planner = verify::parse_planner("fixed:2").value();
      const auto came = submitted++;
      const RequestId id = static_cast<RequestId>(submitted);
      const auto done = [&, kind, id, came](const Completion& c) {
        const std::vector<int32_t>& want = expected[kind].ids;
        const bool cut = c.finish == Finish::kCancelled;
        const bool begins =
            c.ids.size() <= want.size() && std::equal(c.ids.begin(), c.ids.end(), want.begin());
        night.wrong +=
            !begins || (!cut && (c.ids.size() != want.size() || c.finish != expected[kind].finish));
        ++(cut ? night.cancelled : night.finished);
        night.preemptions += c.preemptions;
        for (const Cycle& cycle : c.cycles) night.accepted += cycle.accepted;
        night.longest_wait = std::max(night.longest_wait, static_cast<int64_t>(submitted - came));
        open.erase(id);
      };
      const auto given = engine.submit(std::move(request), {nullptr, done});
      CHECK(given.ok() && given.value() == id, "request {}", id);
      open[id] = came;
    }
    engine.step();
    if (open.empty()) continue;
    const auto some = std::next(open.begin(), static_cast<long>(random() % open.size()))->first;
    if (random() % 64 == 0) engine.cancel(some);
    if (random() % 16 == 1) engine.set_draft_max(some, static_cast<int>(random() % 6));
  }
  return night;
}

TEST(Stress, NothingIsLostInACacheFarTooSmall) {
  const auto model = testing::tiny_model();
  std::vector<Request> kinds;
  for (unsigned kind = 0; kind < 100; ++kind) kinds.push_back(request_of(kind));
  const auto expected = run_all(*make_engine(model, {}), kinds, 16);
  const size_t count = testing::nightly() ? 10000 : dspark::testing::kSanitized ? 180 : 600;
  for (const char* drafter :
       {"--confidence --type q4_0 --block 5", "--eagle3 --type q8_0 --block 4"}) {
    Options options;
    options.drafter = testing::tiny_drafter(drafter).string() + "+ngram";
    options.max_running = 8;
    options.threads = 2;
    const auto measured = make_engine(model, options);
    // Six pages: as many as the longest of these requests may take.
    options.cache_bytes = 6 * measured->info().position_bytes * 64;
    const auto engine = make_engine(model, options);
    const Night night = run_night(*engine, count, expected);
    EXPECT_EQ(night.finished + night.cancelled, count);
    EXPECT_EQ(night.wrong, 0u);
    EXPECT_GT(night.cancelled, 0u);
    EXPECT_GT(night.preemptions, static_cast<int64_t>(count / 100));
    EXPECT_GT(night.accepted, 0);
    // 40 are there at a time, and one of eight that join is the longest there of those that wait
    // behind others.
    EXPECT_LT(night.longest_wait, 600);
    const Status integrity = engine->check_integrity();
    EXPECT_TRUE(integrity.ok()) << integrity.message();
    fmt::print(
        "{} requests, {} cancelled, {} preemptions, {} drafts accepted, at most {} came "
        "while one was there\n",
        count, night.cancelled, night.preemptions, night.accepted, night.longest_wait);
  }
}

}  // namespace
}  // namespace dspark::engine

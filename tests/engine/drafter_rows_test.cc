// How a drafter's rows come about must not show in its drafts; rows that it has not must not show
// in the text.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "engine/support.h"

namespace dspark::engine {
namespace {

using testing::make_engine;
using testing::run_all;

// Drafts are the same whether rows were taken in at once, in small chunks, or late: shown by how
// many stand, of drafters trained for their targets.
TEST(DrafterRows, DraftsDoNotDependOnHowRowsCame) {
  for (const char* name :
       {"qwen3_dspark_vanilla", "qwen3_eagle3", "gemma4_dspark", "gemma4_eagle3"}) {
    const std::filesystem::path folder =
        std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/fixtures" / name;
    std::mt19937 random(4);
    std::vector<Request> requests(12);
    for (Request& r : requests) {
      r.prompt_ids.resize(5 + random() % 90);
      for (int32_t& id : r.prompt_ids) id = static_cast<int32_t>(2 + random() % 400);
      r.max_tokens = 60;
      r.ignore_eos = true;
    }
    const auto run = [&](int chunk, int concurrency, int paused_until) {
      Options options;
      options.drafter = (folder / "draft").string();
      options.quantise = DType::kF16;
      options.threads = 1;
      options.planner = "fixed:4";
      options.prefill_chunk = chunk;
      options.max_running = concurrency;
      const auto engine = make_engine(folder / "target", options);
      std::vector<Completion> done(requests.size());
      for (size_t i = 0; i < requests.size(); ++i) {
        Request request = requests[i];
        if (paused_until > 0) request.draft_max = 0;
        const auto id =
            engine->submit(request, {nullptr, [&done, i](const Completion& c) { done[i] = c; }});
        CHECK(id.ok(), "{}", id.message());
      }
      for (int step = 0; engine->step(); ++step)
        if (step == paused_until)
          for (RequestId id = 1; id <= static_cast<RequestId>(requests.size()); ++id)
            engine->set_draft_max(id, 100);
      return done;
    };
    // By the position of a cycle's anchor: what was accepted there.
    const auto by_anchor = [&](const Completion& c) {
      std::map<size_t, int> accepted;
      size_t anchor = 0;
      for (const Cycle& cycle : c.cycles) {
        if (cycle.drafted > 0) accepted[anchor] = cycle.accepted;
        anchor += static_cast<size_t>(cycle.accepted) + 1;
      }
      return accepted;
    };
    const auto expected = run(512, 12, 0);
    int64_t stood = 0;
    for (const auto& [chunk, concurrency, paused] :
         {std::tuple{1, 12, 0}, std::tuple{7, 3, 0}, std::tuple{64, 12, 25},
          std::tuple{512, 12, 3}}) {
      const auto got = run(chunk, concurrency, paused);
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].ids, expected[i].ids) << name;
        const auto want = by_anchor(expected[i]);
        for (const auto& [anchor, accepted] : by_anchor(got[i])) {
          stood += accepted;
          const auto same_place = want.find(anchor);
          if (same_place != want.end() && anchor + 6 < 60) {
            EXPECT_EQ(accepted, same_place->second)
                << name << " chunk " << chunk << " paused " << paused << " request " << i
                << " anchor " << anchor;
          }
        }
      }
    }
    EXPECT_GT(stood, 500) << name;  // else it would show little
  }
}

// A request that does not draft for long forgets features: its drafts then begin with the newest
// rows, and the text is the same.
TEST(DrafterRows, LongRestsHideOldRows) {
  for (const char* name : {"qwen3_dspark_vanilla", "qwen3_eagle3"}) {
    const std::filesystem::path folder =
        std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/fixtures" / name;
    Options options;
    options.drafter = (folder / "draft").string();
    options.planner = "full";
    options.max_running = 2;
    const auto engine = make_engine(folder / "target", options);
    std::vector<Request> requests(2);
    for (size_t i = 0; i < 2; ++i) {
      requests[i].prompt_ids.assign(40 + 100 * i, static_cast<int32_t>(7 + i));
      requests[i].max_tokens = 260;
      requests[i].ignore_eos = true;
    }
    const auto drafted = run_all(*engine, requests, 2);
    std::vector<Completion> done(2);
    for (size_t i = 0; i < 2; ++i) {
      requests[i].draft_max = 0;
      const auto id =
          engine->submit(requests[i], {nullptr, [&done, i](const Completion& c) { done[i] = c; }});
      ASSERT_TRUE(id.ok());
    }
    for (int step = 0; engine->step(); ++step)
      for (RequestId id = 3; step == 200 && id <= 4; ++id) engine->set_draft_max(id, 100);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(done[i].ids, drafted[i].ids) << name;
      int accepted = 0;
      for (const Cycle& cycle : done[i].cycles) accepted += cycle.accepted;
      EXPECT_GT(accepted, 0) << name;
      EXPECT_EQ(done[i].cycles[150].drafted, 0) << name;
    }
  }
}

}  // namespace
}  // namespace dspark::engine

// How requests live: joining, leaving, stopping, waiting, failing.
#include <gtest/gtest.h>

#include <set>

#include "engine/support.h"

namespace dspark::engine {
namespace {

using testing::make_engine;
using testing::run_all;

class EngineTest : public ::testing::Test {
 protected:
  static Options options() {
    Options o;
    o.threads = 2;
    o.max_running = 4;
    o.prefill_chunk = 16;
    return o;
  }
  static Request request(std::vector<int32_t> prompt, int tokens) {
    Request r;
    r.prompt_ids = std::move(prompt);
    r.max_tokens = tokens;
    r.ignore_eos = true;
    return r;
  }
  std::unique_ptr<Engine> engine_ = make_engine(testing::tiny_model(), options());
};

TEST_F(EngineTest, CountsCyclesAndTokens) {
  const auto done = run_all(*engine_, {request({1, 2, 3}, 10), request({4}, 1)}, 2);
  EXPECT_EQ(done[0].ids.size(), 10u);
  EXPECT_EQ(done[0].cycles.size(), 9u);  // every target step after prefill
  EXPECT_EQ(done[0].finish, Finish::kLength);
  EXPECT_EQ(done[1].ids.size(), 1u);
  EXPECT_TRUE(done[1].cycles.empty());
}

// A long prompt does not keep the others waiting: it comes in small chunks beside them, in one
// alone.
TEST_F(EngineTest, PromptsComeInSmallChunksBesideOthers) {
  std::vector<StepStats> steps;
  Options with_steps = options();
  with_steps.prefill_chunk = 256;
  with_steps.on_step = [&](const StepStats& step) { steps.push_back(step); };
  const auto engine = make_engine(testing::tiny_model(), with_steps);
  const std::vector<int32_t> prompt(200, 7);
  ASSERT_TRUE(engine->submit(request(prompt, 20), {}).ok());
  engine->step();
  EXPECT_EQ(steps.back().rows, 200);
  ASSERT_TRUE(engine->submit(request(std::vector<int32_t>(201, 8), 2), {}).ok());
  std::vector<int> rows;
  for (int i = 0; i < 4; ++i) {
    engine->step();
    rows.push_back(steps.back().rows);
    EXPECT_EQ(steps.back().decoding, 1);
    EXPECT_EQ(steps.back().tokens, 1);
  }
  EXPECT_EQ(rows, (std::vector<int>{65, 65, 65, 10}));
  while (engine->step()) {
  }
}

TEST_F(EngineTest, StopTokenEndsAndIsKept) {
  const auto whole = run_all(*engine_, {request({9, 8, 7}, 20)}, 1)[0];
  // Forbid everything but one control token at a place of its own by bias: the answer is that
  // token.
  const std::vector<int32_t>& stops = engine_->tokenizer().stop_ids();
  ASSERT_FALSE(stops.empty());
  Request r = request({9, 8, 7}, 20);
  r.ignore_eos = false;
  r.sampling.logit_bias = {{stops[0], 1e6f}};
  const auto stopped = run_all(*engine_, {r}, 1)[0];
  EXPECT_EQ(stopped.finish, Finish::kStop);
  EXPECT_EQ(stopped.ids, std::vector<int32_t>{stops[0]});
  EXPECT_EQ(stopped.text, "");
  EXPECT_EQ(whole.ids.size(), 20u);
}

TEST_F(EngineTest, StopStringEndsTheTextBeforeItself) {
  const std::string text = run_all(*engine_, {request({40, 41, 42}, 40)}, 1)[0].text;
  ASSERT_GT(text.size(), 12u);
  for (const size_t at : {size_t{3}, text.size() / 2}) {
    size_t end = at + 4;
    while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) ++end;
    Request r = request({40, 41, 42}, 40);
    r.stop = {"never in the text", text.substr(at, end - at)};
    std::string streamed;
    Completion done;
    ASSERT_TRUE(engine_
                    ->submit(r, {[&](const Delta& d) { streamed += d.text; },
                                 [&](const Completion& c) { done = c; }})
                    .ok());
    while (engine_->step()) {
    }
    EXPECT_EQ(done.finish, Finish::kStop);
    EXPECT_EQ(done.text, text.substr(0, text.find(r.stop[1])));
    EXPECT_EQ(streamed, done.text);  // nothing that had to be taken back was shown
  }
}

TEST_F(EngineTest, CancelFreesEverything) {
  std::vector<Finish> finishes;
  std::vector<RequestId> ids;
  for (int i = 0; i < 6; ++i)  // four run, two wait
    ids.push_back(
        engine_
            ->submit(request({1, 2, 3}, 200),
                     {nullptr, [&](const Completion& c) { finishes.push_back(c.finish); }})
            .value());
  for (int i = 0; i < 3; ++i) engine_->step();
  for (RequestId id : ids) engine_->cancel(id);
  engine_->cancel(12345);
  EXPECT_EQ(finishes, std::vector<Finish>(6, Finish::kCancelled));
  EXPECT_TRUE(engine_->idle());
  EXPECT_TRUE(engine_->check_integrity().ok());
}

TEST_F(EngineTest, CallbacksMayCancelAndSubmit) {
  Completion second;
  RequestId first = 0;
  int deltas = 0;
  first =
      engine_
          ->submit(request({1, 2}, 50),
                   {[&](const Delta&) {
                      if (++deltas == 3) engine_->cancel(first);
                    },
                    [&](const Completion& c) {
                      EXPECT_EQ(c.finish, Finish::kCancelled);
                      EXPECT_EQ(c.ids.size(), 3u);
                      ASSERT_TRUE(engine_
                                      ->submit(request({3}, 4),
                                               {nullptr, [&](const Completion& d) { second = d; }})
                                      .ok());
                    }})
          .value();
  while (engine_->step()) {
  }
  EXPECT_EQ(second.ids.size(), 4u);
  EXPECT_TRUE(engine_->check_integrity().ok());
}

TEST_F(EngineTest, RefusesWhatCannotRun) {
  const auto message = [&](const Request& r) {
    const auto id = engine_->submit(r, {});
    EXPECT_FALSE(id.ok());
    return id.ok() ? "" : id.message();
  };
  EXPECT_NE(message(request({}, 5)).find("no tokens"), std::string::npos);
  EXPECT_NE(message(request({-1}, 5)).find("-1"), std::string::npos);
  EXPECT_NE(message(request({1 << 30}, 5)).find("vocabulary"), std::string::npos);
  EXPECT_NE(message(request({1}, 0)).find("max tokens"), std::string::npos);
  Request r = request({1}, 5);
  r.sampling.top_p = 0;
  EXPECT_NE(message(r).find("top-p"), std::string::npos);
  r = request({1}, 5);
  r.stop = {""};
  EXPECT_NE(message(r).find("stop"), std::string::npos);
  EXPECT_FALSE(Engine::create("/nonexistent.gguf", options()).ok());
  Options bad = options();
  bad.isa = "sse9";
  EXPECT_FALSE(Engine::create(testing::tiny_model(), bad).ok());
}

TEST_F(EngineTest, RequestsWaitForTheCache) {
  Options o = options();
  o.context = 256;
  o.cache_bytes = 2 * 64 * engine_->info().position_bytes;  // two pages
  const auto small = make_engine(testing::tiny_model(), o);
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(request({i + 1, i + 2}, 80));
  const auto waited = run_all(*small, requests, 5), free = run_all(*engine_, requests, 5);
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(waited[i].ids, free[i].ids);
  EXPECT_FALSE(small->submit(request({1}, 200), {}).ok());  // three pages: never
}

TEST_F(EngineTest, StopsAtTheContext) {
  Options o = options();
  o.context = 32;
  const auto engine = make_engine(testing::tiny_model(), o);
  const auto done = run_all(*engine, {request(std::vector<int32_t>(20, 3), 500)}, 1)[0];
  EXPECT_EQ(done.finish, Finish::kLength);
  EXPECT_EQ(done.ids.size(),
            13u);  // positions 20..31 hold tokens; one more is chosen after the last
  EXPECT_FALSE(engine->submit(request(std::vector<int32_t>(33, 3), 1), {}).ok());
}

TEST_F(EngineTest, LogprobsComeWithTheTokens) {
  Request r = request({1, 2, 3}, 5);
  r.logprobs = 4;
  const auto done = run_all(*engine_, {r}, 1)[0];
  ASSERT_EQ(done.logprobs.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_EQ(done.logprobs[i].size(), 5u);
    EXPECT_EQ(done.logprobs[i][0].id, done.ids[i]);
    EXPECT_EQ(done.logprobs[i][1].id, done.ids[i]);  // greedy: the chosen is the most likely
    EXPECT_LE(done.logprobs[i][0].logprob, 0.0f);
    EXPECT_GE(done.logprobs[i][1].logprob, done.logprobs[i][4].logprob);
  }
}

TEST_F(EngineTest, SeedsDecideSampledText) {
  std::set<std::vector<int32_t>> texts;
  for (uint64_t seed : {1, 1, 2, 3}) {
    Request r = request({1, 2, 3}, 16);
    r.sampling.temperature = 1;
    r.sampling.seed = seed;
    texts.insert(run_all(*engine_, {r}, 1)[0].ids);
  }
  EXPECT_EQ(texts.size(), 3u);
}

TEST_F(EngineTest, ScoreAgreesWithGeneration) {
  const auto done = run_all(*engine_, {request({7, 8, 9}, 1)}, 1)[0];
  const auto score = engine_->score({7, 8, 9});
  ASSERT_TRUE(score.ok());
  EXPECT_EQ(score.value().top.size(), 20u);
  EXPECT_EQ(score.value().top[0].first, done.ids[0]);
  EXPECT_GT(score.value().nll, 0);
  EXPECT_FALSE(engine_->score({}).ok());
  EXPECT_TRUE(engine_->check_integrity().ok());
}

}  // namespace
}  // namespace dspark::engine

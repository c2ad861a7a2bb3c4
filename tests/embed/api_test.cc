// The C API: engines, many requests at once, cancelling, errors, threads.
#include <dspark/dspark.h>
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/support.h"

namespace dspark {
namespace {

using Ids = std::vector<int32_t>;

struct Close {
  void operator()(dspark_engine* engine) const { EXPECT_EQ(dspark_close(engine), DSPARK_OK); }
};
using Engine = std::unique_ptr<dspark_engine, Close>;

Engine open(const std::string& model, const char* drafter = "none") {
  dspark_engine_options options{};
  options.struct_size = sizeof options;
  options.model = model.c_str();
  options.drafter = drafter;
  options.threads = 2;
  options.max_running = 4;
  dspark_engine* engine = nullptr;
  EXPECT_EQ(dspark_open(&options, &engine), DSPARK_OK) << dspark_last_error();
  return Engine(engine);
}

Engine open_tiny() { return open(engine::testing::tiny_model().string()); }

dspark_request request_of(const Ids& ids, int max_tokens) {
  dspark_request request{};
  request.struct_size = sizeof request;
  request.ids = ids.data();
  request.id_count = ids.size();
  request.max_tokens = max_tokens;
  request.ignore_eos = 1;
  return request;
}

Ids generated(dspark_engine* engine, const dspark_request& request) {
  dspark_result* result = nullptr;
  EXPECT_EQ(dspark_generate(engine, &request, &result), DSPARK_OK) << dspark_last_error();
  if (result == nullptr) return {};
  Ids ids(result->ids, result->ids + result->id_count);
  dspark_result_free(result);
  return ids;
}

// What became of a submitted request.
struct Seen {
  Ids streamed, ids;
  std::string text, whole_text, error;
  dspark_finish finish = DSPARK_FINISH_ERROR;
  std::atomic<int> ends{0};
  size_t cancel_after = SIZE_MAX;  // tokens
  size_t deltas_after_cancel = 0;

  static int on_delta(void* user, const dspark_delta* delta) {
    Seen& seen = *static_cast<Seen*>(user);
    if (seen.streamed.size() >= seen.cancel_after) ++seen.deltas_after_cancel;
    seen.streamed.insert(seen.streamed.end(), delta->ids, delta->ids + delta->id_count);
    seen.text.append(delta->text, delta->text_bytes);
    return seen.streamed.size() >= seen.cancel_after;
  }
  static void on_finished(void* user, const dspark_result* result) {
    Seen& seen = *static_cast<Seen*>(user);
    seen.ids.assign(result->ids, result->ids + result->id_count);
    seen.whole_text.assign(result->text, result->text_bytes);
    seen.error = result->error;
    seen.finish = result->finish;
    ++seen.ends;
  }
  dspark_callbacks callbacks() { return {sizeof(dspark_callbacks), this, &on_delta, &on_finished}; }
  void wait() const {
    while (ends == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

TEST(Api, ManyAtOnceGiveWhatEachGivesAlone) {
  const std::string drafter =
      engine::testing::tiny_drafter("--rank 32 --confidence --seed 1").string();
  const Engine plain = open_tiny();
  const Engine drafting = open(engine::testing::tiny_model().string(), drafter.c_str());
  constexpr int kRequests = 9;
  std::vector<Ids> prompts;
  for (int i = 0; i < kRequests; ++i) prompts.push_back({i + 1, 7, 20 + i});
  std::vector<Seen> seen(kRequests);
  std::vector<std::thread> threads;
  for (int i = 0; i < kRequests; ++i)
    threads.emplace_back([&, i] {
      dspark_request request = request_of(prompts[i], 10 + i);
      request.temperature = i % 2 == 0 ? 0.0f : 0.9f;
      request.seed = 5;
      const dspark_callbacks callbacks = seen[i].callbacks();
      EXPECT_EQ(dspark_submit(drafting.get(), &request, &callbacks, nullptr), DSPARK_OK);
    });
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kRequests; ++i) {
    seen[i].wait();
    dspark_request request = request_of(prompts[i], 10 + i);
    request.temperature = i % 2 == 0 ? 0.0f : 0.9f;
    request.seed = 5;
    EXPECT_EQ(seen[i].ids, generated(plain.get(), request));
    EXPECT_EQ(seen[i].streamed, seen[i].ids);
    EXPECT_EQ(seen[i].text, seen[i].whole_text);
    EXPECT_EQ(seen[i].finish, DSPARK_FINISH_LENGTH);
    EXPECT_EQ(seen[i].ends, 1);
  }
}

TEST(Api, ResultsCountWhatWasDrafted) {
  const Engine engine = open(engine::testing::tiny_model().string(), "ngram");
  const Ids ids = {5, 6, 7, 5, 6, 7, 5, 6};
  dspark_request request = request_of(ids, 60);
  dspark_result* result = nullptr;
  ASSERT_EQ(dspark_generate(engine.get(), &request, &result), DSPARK_OK);
  EXPECT_EQ(result->struct_size, sizeof(dspark_result));
  EXPECT_EQ(result->prompt_tokens, 8);
  int64_t drafted = 0, accepted = 0, tokens = 1;
  for (size_t i = 0; i < result->cycle_count; ++i) {
    drafted += result->cycles[i].drafted, accepted += result->cycles[i].accepted;
    tokens += result->cycles[i].accepted + 1;
  }
  EXPECT_EQ(result->drafted, drafted);
  EXPECT_EQ(result->accepted, accepted);
  EXPECT_GE(tokens, static_cast<int64_t>(result->id_count));
  dspark_result_free(result);
  request.no_draft = 1;
  ASSERT_EQ(dspark_generate(engine.get(), &request, &result), DSPARK_OK);
  EXPECT_EQ(result->drafted, 0);
  EXPECT_EQ(result->cycle_count, 59u);
  dspark_result_free(result);
}

TEST(Api, CancelsFromItsCallbackAndFromOutside) {
  const Engine engine = open_tiny();
  const Ids ids = {1, 2, 3};
  const dspark_request request = request_of(ids, 400);
  Seen inside;
  inside.cancel_after = 5;
  const dspark_callbacks first = inside.callbacks();
  ASSERT_EQ(dspark_submit(engine.get(), &request, &first, nullptr), DSPARK_OK);
  inside.wait();
  EXPECT_EQ(inside.finish, DSPARK_FINISH_CANCELLED);
  EXPECT_EQ(inside.deltas_after_cancel, 0u);
  EXPECT_LT(inside.ids.size(), 10u);

  Seen outside;
  const dspark_callbacks second = outside.callbacks();
  uint64_t id = 0;
  ASSERT_EQ(dspark_submit(engine.get(), &request, &second, &id), DSPARK_OK);
  EXPECT_EQ(dspark_cancel(engine.get(), id), DSPARK_OK);
  outside.wait();
  EXPECT_EQ(outside.finish, DSPARK_FINISH_CANCELLED);
  EXPECT_EQ(dspark_cancel(engine.get(), id), DSPARK_OK);  // finished: nothing happens
  EXPECT_EQ(dspark_cancel(engine.get(), 12345), DSPARK_OK);
}

TEST(Api, ClosingEndsEveryRequestOnce) {
  std::vector<Seen> seen(6);
  const Ids ids = {1, 2, 3};
  {
    const Engine engine = open_tiny();
    const dspark_request request = request_of(ids, 400);
    for (Seen& one : seen) {
      const dspark_callbacks callbacks = one.callbacks();
      ASSERT_EQ(dspark_submit(engine.get(), &request, &callbacks, nullptr), DSPARK_OK);
    }
  }
  for (const Seen& one : seen) {
    EXPECT_EQ(one.ends, 1);
    EXPECT_EQ(one.finish, DSPARK_FINISH_CANCELLED);
  }
}

// What a callback may and may not do.
struct Nested {
  dspark_engine* engine = nullptr;
  Ids ids = {9, 8};
  Seen second;
  dspark_code submitted = DSPARK_ERROR_INTERNAL, waited = DSPARK_OK, closed = DSPARK_OK;

  static void on_finished(void* user, const dspark_result*) {
    Nested& nested = *static_cast<Nested*>(user);
    const dspark_request request = request_of(nested.ids, 3);
    dspark_result* result = nullptr;
    nested.waited = dspark_generate(nested.engine, &request, &result);
    nested.closed = dspark_close(nested.engine);
    const dspark_callbacks callbacks = nested.second.callbacks();
    nested.submitted = dspark_submit(nested.engine, &request, &callbacks, nullptr);
  }
};

TEST(Api, CallbacksMaySubmitButNotWaitOrClose) {
  const Engine engine = open_tiny();
  Nested nested;
  nested.engine = engine.get();
  const dspark_request request = request_of(nested.ids, 3);
  const dspark_callbacks callbacks{sizeof(dspark_callbacks), &nested, nullptr,
                                   &Nested::on_finished};
  ASSERT_EQ(dspark_submit(engine.get(), &request, &callbacks, nullptr), DSPARK_OK);
  nested.second.wait();
  EXPECT_EQ(nested.submitted, DSPARK_OK);
  EXPECT_EQ(nested.waited, DSPARK_ERROR_STATE);
  EXPECT_EQ(nested.closed, DSPARK_ERROR_STATE);
  EXPECT_EQ(nested.second.ids, generated(engine.get(), request));
}

TEST(Api, TellsWhatItIsAndDid) {
  const Engine engine = open_tiny();
  EXPECT_EQ(dspark_abi_version(), static_cast<uint32_t>(DSPARK_ABI_VERSION));
  const auto info = nlohmann::json::parse(dspark_info(engine.get()));
  EXPECT_EQ(info["drafter"], "none");
  EXPECT_EQ(info["threads"], 2);
  const Ids ids = {1, 2, 3};
  generated(engine.get(), request_of(ids, 4));
  // The counts are published behind the step that ended the request.
  nlohmann::json state = nlohmann::json::object();
  for (int i = 0; i < 1000 && state.value("tokens", 0) != 4; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    char* text = nullptr;
    ASSERT_EQ(dspark_state(engine.get(), &text), DSPARK_OK);
    state = nlohmann::json::parse(text);
    dspark_free(text);
  }
  EXPECT_EQ(state["tokens"], 4);
  EXPECT_EQ(state["requests"], 1);
  EXPECT_EQ(state["failure"], "");
}

TEST(Api, LoadingSaysWhatIsWrong) {
  dspark_engine_options options{};
  options.struct_size = sizeof options;
  const auto expect = [&](dspark_code code, const char* part) {
    dspark_engine* engine = reinterpret_cast<dspark_engine*>(1);
    EXPECT_EQ(dspark_open(&options, &engine), code);
    EXPECT_EQ(engine, nullptr);
    EXPECT_NE(std::string(dspark_last_error()).find(part), std::string::npos)
        << dspark_last_error();
  };
  options.model = "/not/here.gguf";
  expect(DSPARK_ERROR_LOAD, "/not/here.gguf");
  const std::string model = engine::testing::tiny_model().string();
  options.model = model.c_str();
  options.drafter = "ngrm";
  expect(DSPARK_ERROR_LOAD, "ngram");
  options.drafter = "none";
  options.planner = "caussal";
  expect(DSPARK_ERROR_ARGUMENT, "causal");
  options.planner = nullptr;
  options.verify = "cupled";
  expect(DSPARK_ERROR_ARGUMENT, "coupled");
  options.verify = nullptr;
  options.isa = "sse";
  expect(DSPARK_ERROR_LOAD, "sse");
  options.isa = nullptr;
  options.cache_bytes = -1;
  expect(DSPARK_ERROR_ARGUMENT, "cache_bytes");
  options.struct_size = 3;
  expect(DSPARK_ERROR_ARGUMENT, "struct_size");
  EXPECT_EQ(dspark_open(&options, nullptr), DSPARK_ERROR_ARGUMENT);
  dspark_engine* engine = nullptr;
  EXPECT_EQ(dspark_open(nullptr, &engine), DSPARK_ERROR_ARGUMENT);
  EXPECT_EQ(dspark_close(nullptr), DSPARK_OK);
}

}  // namespace
}  // namespace dspark

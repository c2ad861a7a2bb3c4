// The engine's thread: it ends every request exactly once, whatever happens.
#include "worker/worker.h"

#include <gtest/gtest.h>

#include <future>

#include "engine/support.h"

namespace dspark::worker {
namespace {

using engine::Completion;
using engine::Delta;
using engine::Finish;

engine::Request endless(int32_t first_id) {
  engine::Request request;
  request.prompt_ids = {first_id, 2, 3};
  request.max_tokens = 400;
  request.ignore_eos = true;
  return request;
}

std::unique_ptr<engine::Engine> tiny_engine() {
  engine::Options options;
  options.threads = 1;
  options.max_running = 4;
  return engine::testing::make_engine(engine::testing::tiny_model(), options);
}

// A listener whose completions are counted.
struct Ends {
  std::mutex mutex;
  std::vector<Completion> list;
  Worker::Listener listener(std::function<void(const Delta&)> on_delta = [](const Delta&) {}) {
    return {std::move(on_delta), [this](const Completion& done) {
              const std::lock_guard lock(mutex);
              list.push_back(done);
            }};
  }
};

TEST(Worker, EndsWhatRunsAndWhatWaitsWhenItGoes) {
  Ends ends;
  {
    Worker worker(tiny_engine());
    for (int i = 0; i < 5; ++i) worker.submit(endless(4 + i), ends.listener());
  }
  ASSERT_EQ(ends.list.size(), 5u);
  for (const Completion& done : ends.list) EXPECT_EQ(done.finish, Finish::kCancelled);
}

TEST(Worker, AfterAnExceptionEveryRequestIsAnError) {
  Ends ends;
  Worker worker(tiny_engine());
  std::promise<void> reached;
  worker.submit(endless(4), ends.listener());
  worker.submit(endless(5), ends.listener());
  worker.submit(endless(6), ends.listener([&](const Delta&) {
    reached.set_value();
    throw std::runtime_error("no more memory");
  }));
  reached.get_future().wait();
  std::promise<Completion> later;
  worker.submit(endless(7),
                {[](const Delta&) {}, [&](const Completion& done) { later.set_value(done); }});
  const Completion refused = later.get_future().get();
  EXPECT_EQ(refused.finish, Finish::kError);
  EXPECT_EQ(refused.error, "the engine failed: no more memory");
  EXPECT_EQ(worker.state().failure, refused.error);
  const std::lock_guard lock(ends.mutex);
  ASSERT_EQ(ends.list.size(), 3u);
  for (const Completion& done : ends.list) EXPECT_EQ(done.error, refused.error);
}

TEST(Worker, TellsWhenAStepHasBroughtItsNews) {
  // Two requests' deltas of a step come before its call, and nothing comes without one behind it.
  std::mutex mutex;
  std::vector<int> by_step{0};
  int most = 0, seen = 0;
  std::promise<void> enough;
  const auto count = [&](const Delta& delta) {
    const std::lock_guard lock(mutex);
    if (!delta.ids.empty()) ++by_step.back();
    if (++seen == 40) enough.set_value();
  };
  Ends ends;
  {
    Worker worker(tiny_engine(), [&] {
      const std::lock_guard lock(mutex);
      most = std::max(most, by_step.back());
      by_step.push_back(0);
    });
    worker.submit(endless(4), ends.listener(count));
    worker.submit(endless(5), ends.listener(count));
    enough.get_future().wait();
  }
  EXPECT_EQ(most, 2);
  EXPECT_GT(by_step.size(), 15u);
}

TEST(Worker, RefusesWhatTheEngineRefuses) {
  Worker worker(tiny_engine());
  std::promise<Completion> ended;
  engine::Request request = endless(1);
  request.prompt_ids = {-1};
  worker.submit(std::move(request),
                {[](const Delta&) {}, [&](const Completion& done) { ended.set_value(done); }});
  const Completion done = ended.get_future().get();
  EXPECT_EQ(done.finish, Finish::kError);
  EXPECT_NE(done.error.find("-1"), std::string::npos);
  EXPECT_FALSE(worker.on_own_thread());
}

}  // namespace
}  // namespace dspark::worker

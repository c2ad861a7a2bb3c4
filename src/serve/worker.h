// The engine's thread: it takes requests from other threads and steps for as long as there are any.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "engine/engine.h"

namespace dspark::serve {

// What happened since the start, and what is there now.
struct WorkerState {
  int running = 0, waiting = 0;
  int64_t requests = 0, failed = 0, cancelled = 0;  // finished ones
  int64_t prompt_tokens = 0, cached_tokens = 0, tokens = 0;
  int64_t steps = 0, rows = 0, drafted = 0, verified = 0, accepted = 0, cycles = 0;
  int64_t preemptions = 0;
  double step_seconds = 0;
  // Of the steps that a planner planned: what it expected of them, and what they were.
  int64_t planned_steps = 0, planned_tokens = 0;
  double predicted_seconds = 0, planned_seconds = 0, expected_tokens = 0, expected_accepted = 0;
  engine::StepStats last_step;  // without by_request
  int64_t free_pages = 0, known_pages = 0, pages = 0;
};

class Worker {
 public:
  using Ticket = uint64_t;
  // Called on the engine's thread.
  struct Listener {
    std::function<void(const engine::Delta&)> on_delta;
    std::function<void(const engine::Completion&)> on_finished;
  };

  explicit Worker(std::unique_ptr<engine::Engine> engine);
  ~Worker();  // cancels what still runs

  const engine::Engine& engine() const { return *engine_; }
  // From any thread. A request that the engine refuses finishes as kError.
  Ticket submit(engine::Request request, Listener listener);
  void cancel(Ticket ticket);
  WorkerState state() const;

 private:
  struct Command {
    Ticket ticket = 0;
    bool cancels = false;
    engine::Request request;
    Listener listener;
  };
  void run();
  void start(Command command);
  void count(int64_t prompt_tokens, const engine::Completion& completion);
  void count(const engine::StepStats& step);
  void publish();

  std::unique_ptr<engine::Engine> engine_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Command> commands_;  // guarded by mutex_, as are the next three
  Ticket last_ticket_ = 0;
  bool stops_ = false;
  WorkerState published_;
  WorkerState counted_;  // the thread's own, as is the map
  std::unordered_map<Ticket, engine::RequestId> ids_;
  std::thread thread_;
};

}  // namespace dspark::serve

// Public header of the room worker: an engine on a thread of its own, which takes requests from
// other threads and steps for as long as there are any.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"

namespace dspark::worker {

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
  // Of drafting at temperature 0, and above it.
  struct Confidence {
    int64_t slots = 0;     // that a planner's confidence was held against
    double ece = 0;        // lately
    bool learned = false;  // not, or no longer, by a calibration
  } confidence[2];
  std::vector<std::string> warnings;  // the engine's
  std::string failure;                // why the engine can't go on; empty while it can
};

class Worker {
 public:
  using Ticket = uint64_t;
  // Called on the engine's thread; may submit and cancel. on_finished is called exactly once, the
  // last of all.
  struct Listener {
    std::function<void(const engine::Delta&)> on_delta;
    std::function<void(const engine::Completion&)> on_finished;
  };

  // after_step is called on the engine's thread behind whatever may have called listeners: once for
  // all that a step brought.
  explicit Worker(
      std::unique_ptr<engine::Engine> engine, std::function<void()> after_step = [] {});
  ~Worker();  // not on its own thread; cancels what still runs

  const engine::Engine& engine() const { return *engine_; }
  // From any thread. A request that the engine refuses finishes as kError. So does every request
  // after an exception (memory ran out, say): the engine is not to be trusted behind one.
  Ticket submit(engine::Request request, Listener listener);
  void cancel(Ticket ticket);
  WorkerState state() const;
  bool on_own_thread() const { return thread_.get_id() == std::this_thread::get_id(); }

 private:
  struct Command {
    Ticket ticket = 0;
    bool cancels = false;
    engine::Request request;
    std::shared_ptr<Listener> listener;  // none where it cancels, or has been started
  };
  struct Running {
    engine::RequestId id = 0;
    std::shared_ptr<Listener> listener;
  };
  void run();
  void work();
  void end_all();
  void start(Command& command);
  void refuse(const Listener& listener, engine::Finish finish);
  void count(int64_t prompt_tokens, const engine::Completion& completion);
  void count(const engine::StepStats& step);
  void publish();

  std::unique_ptr<engine::Engine> engine_;
  std::function<void()> after_step_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Command> commands_;  // guarded by mutex_, as are the next three
  Ticket last_ticket_ = 0;
  bool stops_ = false;
  WorkerState published_;
  WorkerState counted_;  // the thread's own, as are the next two
  std::unordered_map<Ticket, Running> running_;
  std::deque<Command> taken_;  // commands that are being followed
  std::thread thread_;
};

}  // namespace dspark::worker

#include "worker/worker.h"

#include <utility>

namespace dspark::worker {

Worker::Worker(std::unique_ptr<engine::Engine> engine, std::function<void()> after_step)
    : engine_(std::move(engine)), after_step_(std::move(after_step)), thread_([this] { run(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Worker::Ticket Worker::submit(engine::Request request, Listener listener) {
  auto shared = std::make_shared<Listener>(std::move(listener));
  Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    ticket = ++last_ticket_;
    commands_.push_back({ticket, false, std::move(request), std::move(shared)});
  }
  wake_.notify_one();
  return ticket;
}

void Worker::cancel(Ticket ticket) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back({ticket, true, {}, nullptr});
  }
  wake_.notify_one();
}

WorkerState Worker::state() const {
  const std::lock_guard lock(mutex_);
  return published_;
}

void Worker::count(int64_t prompt_tokens, const engine::Completion& done) {
  ++counted_.requests;
  counted_.failed += done.finish == engine::Finish::kError;
  counted_.cancelled += done.finish == engine::Finish::kCancelled;
  counted_.prompt_tokens += prompt_tokens;
  counted_.cached_tokens += done.cached_rows;
  counted_.cycles += static_cast<int64_t>(done.cycles.size());
  counted_.preemptions += done.preemptions;
}

void Worker::count(const engine::StepStats& step) {
  ++counted_.steps;
  counted_.rows += step.rows, counted_.drafted += step.drafted;
  counted_.verified += step.verified, counted_.accepted += step.accepted;
  counted_.step_seconds += step.ms / 1e3;
  counted_.last_step = step;
  counted_.last_step.by_request = {};
  if (!step.planned) return;
  ++counted_.planned_steps;
  counted_.predicted_seconds += step.predicted_ms / 1e3;
  counted_.planned_seconds += (step.ms - step.absorb_ms) / 1e3;
  counted_.expected_tokens += step.expected_tokens;
  counted_.planned_tokens += step.tokens;
  for (const engine::RequestStep& request : step.by_request)
    counted_.expected_accepted += request.expected_accepted;
}

void Worker::start(Command& command) {
  const Ticket ticket = command.ticket;
  const auto prompt_tokens = static_cast<int64_t>(command.request.prompt_ids.size());
  running_[ticket].listener = command.listener;
  const std::shared_ptr<Listener> listener = std::move(command.listener);
  engine::Callbacks callbacks;
  callbacks.on_delta = [this, listener](const engine::Delta& delta) {
    counted_.tokens += static_cast<int64_t>(delta.ids.size());
    listener->on_delta(delta);
  };
  callbacks.on_finished = [this, ticket, prompt_tokens, listener](const engine::Completion& done) {
    running_.erase(ticket);
    count(prompt_tokens, done);
    listener->on_finished(done);
  };
  const auto id = engine_->submit(std::move(command.request), std::move(callbacks));
  if (id.ok()) {
    running_[ticket].id = id.value();
    return;
  }
  running_.erase(ticket);
  engine::Completion refused;
  refused.error = id.message();
  count(prompt_tokens, refused);
  listener->on_finished(refused);
}

void Worker::publish() {
  const engine::Load load = engine_->load();
  counted_.running = load.running, counted_.waiting = load.waiting;
  counted_.pages = load.pages, counted_.free_pages = load.free_pages;
  counted_.known_pages = load.known_pages;
  for (const bool greedy : {true, false})
    if (const verify::OnlineConfidence* found = engine_->confidence(greedy))
      counted_.confidence[greedy ? 0 : 1] = {found->observations(), found->ece(), found->learns()};
  if (counted_.warnings.size() != engine_->info().warnings.size())
    counted_.warnings = engine_->info().warnings;
  const std::lock_guard lock(mutex_);
  published_ = counted_;
}

void Worker::work() {
  publish();
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (engine_->idle()) wake_.wait(lock, [this] { return stops_ || !commands_.empty(); });
      if (stops_) break;
      taken_.swap(commands_);
    }
    for (; !taken_.empty(); taken_.pop_front()) {
      Command& command = taken_.front();
      if (!command.cancels)
        start(command);
      else if (const auto at = running_.find(command.ticket); at != running_.end())
        engine_->cancel(at->second.id);
    }
    after_step_();
    if (!engine_->idle()) {
      engine_->step();
      count(engine_->last_step());
      after_step_();
    }
    publish();
  }
  while (!running_.empty()) engine_->cancel(running_.begin()->second.id);
}

void Worker::refuse(const Listener& listener, engine::Finish finish) {
  engine::Completion refused;
  refused.finish = finish;
  if (finish == engine::Finish::kError) refused.error = counted_.failure;
  count(0, refused);
  listener.on_finished(refused);
}

// What the engine, failed or told to stop, did not end itself, and whatever comes before the end.
void Worker::end_all() {
  const bool failed = !counted_.failure.empty();
  const engine::Finish finish = failed ? engine::Finish::kError : engine::Finish::kCancelled;
  const auto running = std::exchange(running_, {});
  for (const auto& [ticket, request] : running) refuse(*request.listener, finish);
  for (;;) {
    for (; !taken_.empty(); taken_.pop_front())
      if (const auto& listener = taken_.front().listener; listener != nullptr)
        refuse(*listener, finish);
    after_step_();
    std::unique_lock lock(mutex_);
    published_ = counted_;
    wake_.wait(lock, [this] { return stops_ || !commands_.empty(); });
    if (commands_.empty()) return;
    taken_.swap(commands_);
  }
}

void Worker::run() {
  try {
    work();
  } catch (const std::exception& error) {
    counted_.failure = fmt::format("the engine failed: {}", error.what());
  } catch (...) {
    counted_.failure = "the engine failed";
  }
  end_all();
}

}  // namespace dspark::worker

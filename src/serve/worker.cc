#include "serve/worker.h"

namespace dspark::serve {

Worker::Worker(std::unique_ptr<engine::Engine> engine)
    : engine_(std::move(engine)), thread_([this] { run(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Worker::Ticket Worker::submit(engine::Request request, Listener listener) {
  Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    ticket = ++last_ticket_;
    commands_.push_back({ticket, false, std::move(request), std::move(listener)});
  }
  wake_.notify_one();
  return ticket;
}

void Worker::cancel(Ticket ticket) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back({ticket, true, {}, {}});
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

void Worker::start(Command command) {
  const Ticket ticket = command.ticket;
  const auto prompt_tokens = static_cast<int64_t>(command.request.prompt_ids.size());
  auto listener = std::make_shared<Listener>(std::move(command.listener));
  engine::Callbacks callbacks;
  callbacks.on_delta = [this, listener](const engine::Delta& delta) {
    counted_.tokens += static_cast<int64_t>(delta.ids.size());
    listener->on_delta(delta);
  };
  callbacks.on_finished = [this, ticket, prompt_tokens, listener](const engine::Completion& done) {
    ids_.erase(ticket);
    count(prompt_tokens, done);
    listener->on_finished(done);
  };
  const auto id = engine_->submit(std::move(command.request), std::move(callbacks));
  if (id.ok()) {
    ids_[ticket] = id.value();
    return;
  }
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
  const std::lock_guard lock(mutex_);
  published_ = counted_;
}

void Worker::run() {
  publish();
  for (;;) {
    std::deque<Command> taken;
    {
      std::unique_lock lock(mutex_);
      if (engine_->idle()) wake_.wait(lock, [this] { return stops_ || !commands_.empty(); });
      if (stops_) break;
      taken.swap(commands_);
    }
    for (Command& command : taken) {
      if (!command.cancels)
        start(std::move(command));
      else if (const auto at = ids_.find(command.ticket); at != ids_.end())
        engine_->cancel(at->second);
    }
    if (!engine_->idle()) {
      engine_->step();
      const engine::StepStats& step = engine_->last_step();
      ++counted_.steps;
      counted_.rows += step.rows, counted_.drafted += step.drafted;
      counted_.verified += step.verified, counted_.accepted += step.accepted;
      counted_.step_seconds += step.ms / 1e3;
    }
    publish();
  }
  while (!ids_.empty()) engine_->cancel(ids_.begin()->second);
}

}  // namespace dspark::serve

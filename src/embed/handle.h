// What a dspark_engine is, and a host's hold on a request.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "dspark/dspark.h"
#include "worker/worker.h"

struct dspark_engine {
  explicit dspark_engine(std::unique_ptr<dspark::engine::Engine> engine);

  const dspark::tokenizer::Tokenizer& tokenizer() const { return worker.engine().tokenizer(); }

  std::string info;  // JSON
  dspark::tokenizer::PromptEncoder encoder;
  std::atomic<bool> closing{false};
  dspark::worker::Worker worker;  // goes first: its thread uses the others
};

namespace dspark::embed {

std::string state_json(const worker::WorkerState& state);

// Tells a host what becomes of its request. Nothing that the host does leaves it as an exception.
class Watch {
 public:
  Watch(const dspark_callbacks& callbacks, size_t prompt_count, worker::Worker& worker)
      : callbacks_(callbacks), prompt_count_(prompt_count), worker_(worker) {}

  void submitted(worker::Worker::Ticket ticket);
  // On the engine's thread.
  void tell(const engine::Delta& delta);
  void finish(const engine::Completion& completion);

 private:
  void cancel_if_unwanted() noexcept;

  const dspark_callbacks callbacks_;
  const size_t prompt_count_;
  worker::Worker& worker_;
  // The host may say that it wants no more before the submitting thread knows the ticket: whoever
  // comes second cancels.
  std::atomic<bool> unwanted_{false};
  std::atomic<worker::Worker::Ticket> ticket_{0};
};

}  // namespace dspark::embed

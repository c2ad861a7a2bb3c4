#include "embed/handle.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "embed/result.h"

namespace dspark::embed {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string info_json(const engine::Engine& engine) {
  const engine::Info& info = engine.info();
  return dump({{"version", DSPARK_VERSION},
               {"model", info.model},
               {"architecture", info.architecture},
               {"isa", info.isa},
               {"threads", info.threads},
               {"context", info.context},
               {"vocab", info.vocab},
               {"layers", info.layers},
               {"hidden", info.hidden},
               {"weight_bytes", info.weight_bytes},
               {"cache_bytes", info.cache_bytes},
               {"load_ms", info.load_ms},
               {"drafter", info.drafter},
               {"draft_slots", info.draft_slots},
               {"planner", info.planner},
               {"verify", info.verify},
               {"stop_ids", engine.tokenizer().stop_ids()},
               {"has_chat_template", !engine.tokenizer().chat_template().empty()}});
}

}  // namespace

std::string state_json(const worker::WorkerState& w) {
  return dump({{"running", w.running},
               {"waiting", w.waiting},
               {"requests", w.requests},
               {"failed", w.failed},
               {"cancelled", w.cancelled},
               {"prompt_tokens", w.prompt_tokens},
               {"cached_tokens", w.cached_tokens},
               {"tokens", w.tokens},
               {"cycles", w.cycles},
               {"steps", w.steps},
               {"step_seconds", w.step_seconds},
               {"drafted", w.drafted},
               {"verified", w.verified},
               {"accepted", w.accepted},
               {"preemptions", w.preemptions},
               {"pages", w.pages},
               {"free_pages", w.free_pages},
               {"known_pages", w.known_pages},
               {"warnings", w.warnings},
               {"failure", w.failure}});
}

void Watch::submitted(worker::Worker::Ticket ticket) {
  ticket_ = ticket;
  cancel_if_unwanted();
}

void Watch::cancel_if_unwanted() noexcept {
  const worker::Worker::Ticket ticket = ticket_;
  if (!unwanted_ || ticket == 0) return;
  try {
    worker_.cancel(ticket);
  } catch (...) {  // no memory for it: the request ends by itself
  }
}

void Watch::tell(const engine::Delta& delta) {
  if (callbacks_.on_delta == nullptr || unwanted_) return;
  const dspark_delta news = delta_of(delta);
  if (callbacks_.on_delta(callbacks_.user, &news) == 0) return;
  unwanted_ = true;
  cancel_if_unwanted();
}

void Watch::finish(const engine::Completion& completion) {
  if (callbacks_.on_finished == nullptr) return;
  std::optional<OwnedResult> result;
  try {
    result.emplace(completion, prompt_count_);
  } catch (const std::bad_alloc&) {
    dspark_result without{};
    without.struct_size = sizeof(without);
    without.finish = DSPARK_FINISH_ERROR;
    without.error = "out of memory";
    without.text = "";
    callbacks_.on_finished(callbacks_.user, &without);
    return;
  }
  callbacks_.on_finished(callbacks_.user, &*result);
}

}  // namespace dspark::embed

dspark_engine::dspark_engine(std::unique_ptr<dspark::engine::Engine> engine)
    : info(dspark::embed::info_json(*engine)),
      encoder(engine->tokenizer(), engine->info().model),
      worker(std::move(engine)) {}

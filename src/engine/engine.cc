#include "engine/engine.h"

#include <algorithm>

#include "engine/impl.h"

namespace dspark::engine {
namespace {

constexpr size_t kKnownGrammars = 8;  // whose masks are kept for requests to come

}  // namespace

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

const tokenizer::Tokenizer& Engine::tokenizer() const { return impl_->tokenizer; }
const Info& Engine::info() const { return impl_->info; }
const StepStats& Engine::last_step() const { return impl_->stats; }
bool Engine::idle() const { return impl_->waiting.empty() && impl_->running.empty(); }

Load Engine::load() const {
  const Impl& e = *impl_;
  return {static_cast<int>(e.running.size()), static_cast<int>(e.waiting.size()), e.pages->pages(),
          e.pages->free_pages(), e.prefixes->pages()};
}

Result<RequestId> Engine::submit(Request request, Callbacks callbacks) {
  Impl& e = *impl_;
  const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
  if (prompt == 0) return fail("the prompt has no tokens");
  for (int32_t id : request.prompt_ids)
    if (id < 0 || id >= e.info.vocab)
      return fail("token id {} is not in the vocabulary of {}", id, e.info.vocab);
  if (request.max_tokens < 1)
    return fail("max tokens: {}, expected at least 1", request.max_tokens);
  if (request.draft_max < 0) return fail("most drafts: {}, expected 0 or more", request.draft_max);
  if (request.logprobs < 0 || request.logprobs > e.info.vocab)
    return fail("logprobs: {}, expected 0 to {}", request.logprobs, e.info.vocab);
  for (const std::string& stop : request.stop)
    if (stop.empty()) return fail("a stop string is empty");
  if (request.grammar != nullptr && request.ignore_eos)
    return fail("a grammar ends the answer by a stop token, which ignore_eos rules out");
  if (request.grammar != nullptr && e.tokenizer.stop_ids().empty())
    return fail("a grammar ends the answer by a stop token, and this model has none");
  DSPARK_RETURN_IF_ERROR(sample::validate(request.sampling, e.info.vocab));
  const verify::Mode mode = request.verify.value_or(e.options.verify);
  DSPARK_RETURN_IF_ERROR(verify::check_mode(mode, request.sampling));
  if (request.planner && !verify::is_by_request(request.planner->kind))
    return fail(
        "planner {}: plans for all requests at once; of one request's own there are off, "
        "fixed:N and threshold:P",
        verify::planner_name(*request.planner));
  if (prompt > e.info.context)
    return fail("the prompt has {} tokens, the context holds {}", prompt, e.info.context);
  e.prepare_verifiers(mode);
  auto constraint = e.constraint_of(request.grammar);
  auto active =
      std::make_unique<ActiveRequest>(++e.last_id, std::move(request), std::move(callbacks),
                                      e.tokenizer, e.info.vocab, *e.pages, std::move(constraint));
  const int64_t needed = active->positions_needed(e.info.context);
  if (needed > e.pages->pages() * kv::kPositions)
    return fail("the request needs {} cache positions, the cache holds {}", needed,
                e.pages->pages() * kv::kPositions);
  Impl::insert(std::move(active), e.waiting);
  return e.last_id;
}

std::unique_ptr<sample::Constraint> Engine::Impl::constraint_of(
    const std::shared_ptr<const grammar::Grammar>& grammar) {
  if (grammar == nullptr) return nullptr;
  const auto known = std::find_if(masks.begin(), masks.end(), [&](const auto& entry) {
    return entry.first == grammar->source();
  });
  if (known != masks.end()) {
    std::rotate(known, known + 1, masks.end());
  } else {
    if (trie == nullptr) trie = grammar::make_token_trie(tokenizer, info.vocab);
    if (masks.size() == kKnownGrammars) masks.erase(masks.begin());
    masks.emplace_back(grammar->source(), grammar::Masks(grammar, trie));
  }
  return masks.back().second.start();
}

void Engine::cancel(RequestId id) {
  Impl& e = *impl_;
  const auto is_it = [id](const auto& request) { return request->id() == id; };
  if (const auto at = std::find_if(e.waiting.begin(), e.waiting.end(), is_it);
      at != e.waiting.end()) {
    const std::unique_ptr<ActiveRequest> request = std::move(*at);
    e.waiting.erase(at);
    request->finish(Finish::kCancelled);
    request->report();
    return;
  }
  const auto at = std::find_if(e.running.begin(), e.running.end(), is_it);
  if (at == e.running.end() || (*at)->finished()) return;
  (*at)->finish(Finish::kCancelled);
  if (e.in_step) return;  // step() reports and drops it
  const std::unique_ptr<ActiveRequest> request = std::move(*at);
  e.running.erase(at);
  request->report();
}

void Engine::set_draft_max(RequestId id, int slots) {
  Impl& e = *impl_;
  for (const auto& request : e.waiting)
    if (request->id() == id) request->set_draft_max(slots);
  for (const auto& request : e.running)
    if (request->id() == id) request->set_draft_max(slots);
}

Status Engine::set_planner(const std::string& planner) {
  Impl& e = *impl_;
  CHECK(idle(), "set_planner() with requests running");
  if (e.speculation == nullptr) return {};
  DSPARK_RETURN_IF_ERROR(e.speculation->set_planner(planner));
  e.info.planner = e.speculation->planner_name();
  return {};
}

const verify::ModeCalibration* Engine::calibration(const sample::Params& sampling) const {
  return impl_->speculation == nullptr
             ? nullptr
             : impl_->speculation->calibration(sampling, impl_->options.verify);
}

Status Engine::check_integrity() const {
  const Impl& e = *impl_;
  if (!idle()) return fail("{} requests run, {} wait", e.running.size(), e.waiting.size());
  if (const int64_t known = e.prefixes->pages(); e.prefixes->unused() != known)
    return fail("{} of {} cache pages kept for prompts to come are still used",
                known - e.prefixes->unused(), known);
  if (const int64_t free = e.pages->free_pages(), all = e.pages->pages(),
      kept = e.prefixes->pages();
      free + kept != all)
    return fail("{} of {} cache pages are neither free nor kept", all - free - kept, all);
  return {};
}

const verify::OnlineConfidence* Engine::confidence(bool greedy) const {
  return impl_->speculation == nullptr ? nullptr : &impl_->speculation->confidence(greedy);
}
const verify::CostTable* Engine::costs() const {
  return impl_->speculation == nullptr ? nullptr : &impl_->speculation->costs();
}

double Engine::time_matrices_ms(int rows, int repetitions) {
  return impl_->forward->time_matrices_ms(rows, repetitions);
}

double Engine::stream_read_gb_per_s() {
  const compute::AlignedBuffer& weights = impl_->model->weights;
  const size_t words = weights.size() / sizeof(uint64_t);
  std::vector<uint64_t> sums(static_cast<size_t>(impl_->pool.threads()));
  double best_s = 1e30;
  for (int repetition = 0; repetition < 10; ++repetition) {
    const auto start = Clock::now();
    impl_->pool.run([&](int thread) {
      const Range range =
          split_range(static_cast<int64_t>(words / 16), impl_->pool.threads(), thread);
      const uint64_t* at = weights.as<uint64_t>() + range.begin * 16;
      uint64_t sum[16] = {};
      for (int64_t i = range.begin; i < range.end; ++i, at += 16)
        for (int k = 0; k < 16; ++k) sum[k] += at[k];
      for (uint64_t s : sum) sums[static_cast<size_t>(thread)] += s;
    });
    best_s = std::min(best_s, milliseconds_since(start) / 1e3);
  }
  volatile uint64_t keep = sums[0];  // the reads must happen
  (void)keep;
  return static_cast<double>(weights.size()) / best_s * 1e-9;
}

}  // namespace dspark::engine

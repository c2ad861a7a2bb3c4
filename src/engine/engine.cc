#include "engine/engine.h"

#include <unistd.h>

#include <algorithm>
#include <deque>

#include "engine/request.h"
#include "model/model.h"

namespace dspark::engine {
namespace {

constexpr int64_t kMaxPromptChunk = 4096;
constexpr int kScoreRows = 64;  // rows with logits of a step of score()

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

size_t quarter_of_memory() {
  return static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<size_t>(::sysconf(_SC_PAGESIZE)) / 4;
}

Status validate(const Options& options) {
  if (options.threads < 0 || options.threads > 1024)
    return fail("threads: {}, expected 0 to 1024", options.threads);
  if (options.max_running < 1 || options.max_running > 4096)
    return fail("requests in the batch: {}, expected 1 to 4096", options.max_running);
  if (options.prefill_chunk < 1 || options.prefill_chunk > kMaxPromptChunk)
    return fail("prefill chunk: {}, expected 1 to {}", options.prefill_chunk, kMaxPromptChunk);
  if (options.context < 0)
    return fail("context: {}, expected 0 (the model's) or more", options.context);
  return {};
}

}  // namespace

struct Engine::Impl {
  Impl(const Options& options, tokenizer::Tokenizer tokens)
      : options(options),
        pool(options.threads, options.pin_threads),
        tokenizer(std::move(tokens)) {}

  // Rows of a step and where they came from.
  struct Plan {
    std::vector<int32_t> tokens;
    std::vector<model::Segment> segments;
    std::vector<ActiveRequest*> requests;  // by segment
    std::vector<int32_t> logit_rows;
    std::vector<ActiveRequest*> choosers;  // by logit row
    void clear() {
      tokens.clear(), segments.clear(), requests.clear(), logit_rows.clear(), choosers.clear();
    }
  };

  void admit();
  void plan_step();
  void add_rows(ActiveRequest& request, int64_t rows);
  void run_step();
  void drop_finished();

  Options options;
  ThreadPool pool;
  tokenizer::Tokenizer tokenizer;
  std::unique_ptr<model::Model> model;
  const compute::Kernels* kernels = nullptr;
  std::unique_ptr<kv::PagePool> pages;
  std::unique_ptr<model::Forward> forward;
  Info info;
  RequestId last_id = 0;
  std::deque<std::unique_ptr<ActiveRequest>> waiting;
  std::vector<std::unique_ptr<ActiveRequest>> running;
  Plan plan;
  StepStats stats;
  bool in_step = false;
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(const std::filesystem::path& path, Options options) {
  const auto start = Clock::now();
  DSPARK_RETURN_IF_ERROR(validate(options));
  const compute::Kernels* kernels = compute::kernels(options.isa);
  if (kernels == nullptr)
    return fail(
        "instruction set \"{}\": unknown, or this machine lacks it; expected ref, avx2, avx512 or "
        "auto",
        options.isa);
  DSPARK_TRY(tokenizer::Tokenizer tokens, tokenizer::Tokenizer::open(path));
  auto impl = std::make_unique<Impl>(options, std::move(tokens));
  impl->kernels = kernels;
  DSPARK_TRY(impl->model,
             model::load_model(path, {options.quantise, options.load_progress}, impl->pool));
  const model::Spec& spec = impl->model->spec;
  if (impl->tokenizer.vocab_size() > spec.vocab)
    return fail("{}: the tokenizer has {} tokens, the model only {}", path.string(),
                impl->tokenizer.vocab_size(), spec.vocab);

  Info& info = impl->info;
  info.context = options.context > 0 ? std::min(options.context, spec.context) : spec.context;
  const kv::Shape shape(impl->model->cache_layers());
  const int64_t most_pages =
      (info.context + kv::kPositions - 1) / kv::kPositions * options.max_running;
  const size_t wanted = options.cache_bytes > 0 ? options.cache_bytes : quarter_of_memory();
  const int64_t page_count =
      std::min<int64_t>(most_pages, static_cast<int64_t>(wanted / shape.page_bytes()));
  if (page_count < 1)
    return fail("cache of {} bytes: expected at least one page of {} bytes", wanted,
                shape.page_bytes());
  impl->pages = std::make_unique<kv::PagePool>(shape, page_count);
  const model::Limits limits{options.max_running + options.prefill_chunk,
                             std::min(options.max_running + options.prefill_chunk,
                                      std::max(options.max_running, kScoreRows)),
                             info.context};
  impl->forward =
      std::make_unique<model::Forward>(*impl->model, *kernels, impl->pool, *impl->pages, limits);

  info.model = path.string();
  info.architecture = spec.architecture;
  info.isa = kernels->name;
  info.threads = impl->pool.threads();
  info.vocab = spec.vocab;
  info.layers = spec.layers;
  info.hidden = spec.hidden;
  info.head_weights = int64_t{spec.vocab} * spec.hidden;
  info.layer_weights = impl->model->layer_weights();
  info.weight_bytes = impl->model->weight_bytes;
  info.cache_bytes = static_cast<size_t>(page_count) * shape.page_bytes();
  info.position_bytes = shape.page_bytes() / kv::kPositions;
  info.load_ms = milliseconds_since(start);
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

const tokenizer::Tokenizer& Engine::tokenizer() const { return impl_->tokenizer; }
const Info& Engine::info() const { return impl_->info; }
const StepStats& Engine::last_step() const { return impl_->stats; }
bool Engine::idle() const { return impl_->waiting.empty() && impl_->running.empty(); }

Result<RequestId> Engine::submit(Request request, Callbacks callbacks) {
  Impl& e = *impl_;
  const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
  if (prompt == 0) return fail("the prompt has no tokens");
  for (int32_t id : request.prompt_ids)
    if (id < 0 || id >= e.info.vocab)
      return fail("token id {} is not in the vocabulary of {}", id, e.info.vocab);
  if (request.max_tokens < 1)
    return fail("max tokens: {}, expected at least 1", request.max_tokens);
  if (request.logprobs < 0 || request.logprobs > e.info.vocab)
    return fail("logprobs: {}, expected 0 to {}", request.logprobs, e.info.vocab);
  for (const std::string& stop : request.stop)
    if (stop.empty()) return fail("a stop string is empty");
  DSPARK_RETURN_IF_ERROR(sample::validate(request.sampling, e.info.vocab));
  if (prompt > e.info.context)
    return fail("the prompt has {} tokens, the context holds {}", prompt, e.info.context);
  auto active = std::make_unique<ActiveRequest>(
      ++e.last_id, std::move(request), std::move(callbacks), e.tokenizer, e.info.vocab, *e.pages);
  const int64_t needed = active->positions_needed(e.info.context);
  if (needed > e.pages->pages() * kv::kPositions)
    return fail("the request needs {} cache positions, the cache holds {}", needed,
                e.pages->pages() * kv::kPositions);
  e.waiting.push_back(std::move(active));
  return e.last_id;
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

// First come, first served: a request joins when the cache holds it to its end.
void Engine::Impl::admit() {
  while (!waiting.empty() && static_cast<int>(running.size()) < options.max_running) {
    ActiveRequest& next = *waiting.front();
    if (!next.sequence().reserve(next.positions_needed(info.context))) return;
    running.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
}

void Engine::Impl::add_rows(ActiveRequest& request, int64_t rows) {
  const int64_t position = request.sequence().length();
  plan.segments.push_back({&request.sequence(), static_cast<int>(plan.tokens.size()),
                           static_cast<int>(rows), position});
  plan.requests.push_back(&request);
  for (int64_t i = 0; i < rows; ++i) plan.tokens.push_back(request.token_at(position + i));
  if (rows == request.rows_ready()) {
    plan.logit_rows.push_back(static_cast<int32_t>(plan.tokens.size()) - 1);
    plan.choosers.push_back(&request);
  }
  if (!request.started()) request.start(Clock::now());
}

// Every decoding request brings its row; prompts share the chunk in order of arrival.
void Engine::Impl::plan_step() {
  plan.clear();
  int64_t chunk_left = options.prefill_chunk;
  for (const auto& request : running) {
    const int64_t rows = request->prefilling() ? std::min(request->rows_ready(), chunk_left) : 1;
    if (request->prefilling()) chunk_left -= rows;
    if (rows > 0) add_rows(*request, rows);
  }
}

void Engine::Impl::run_step() {
  const auto start = Clock::now();
  const model::Batch batch{plan.tokens, plan.segments, plan.logit_rows, {}, nullptr};
  forward->run(batch);
  stats.forward_ms = milliseconds_since(start);
  for (size_t s = 0; s < plan.segments.size(); ++s) {
    const model::Segment& segment = plan.segments[s];
    plan.requests[s]->sequence().extend(segment.rows);
    for (int r = segment.first_row; r < segment.first_row + segment.rows; ++r)
      if (!forward->row_ok(r))
        plan.requests[s]->finish(Finish::kError,
                                 fmt::format("position {}: an activation is not finite",
                                             segment.position + r - segment.first_row));
  }
  for (size_t i = 0; i < plan.choosers.size(); ++i)
    if (!plan.choosers[i]->finished())
      plan.choosers[i]->advance(forward->logits(static_cast<int>(i)), info.context);
  stats.rows = static_cast<int>(plan.tokens.size());
  stats.requests = static_cast<int>(plan.segments.size());
  stats.logit_rows = static_cast<int>(plan.logit_rows.size());
  stats.ms = milliseconds_since(start);
}

void Engine::Impl::drop_finished() {
  // Pages go back before anybody hears of it: a callback may submit again.
  std::vector<std::unique_ptr<ActiveRequest>> done;
  for (auto& request : running)
    if (request->finished()) done.push_back(std::move(request));
  std::erase(running, nullptr);
  for (const auto& request : done) request->report();
}

bool Engine::step() {
  Impl& e = *impl_;
  CHECK(!e.in_step, "step() called from a callback");
  const FloatMode mode;
  e.admit();
  if (e.running.empty()) return false;
  e.in_step = true;
  e.plan_step();
  e.run_step();
  for (size_t i = 0; i < e.running.size(); ++i)
    if (!e.running[i]->finished()) e.running[i]->report();
  e.in_step = false;
  e.drop_finished();
  return !idle();
}

Status Engine::check_integrity() const {
  const Impl& e = *impl_;
  if (!idle()) return fail("{} requests run, {} wait", e.running.size(), e.waiting.size());
  if (e.pages->free_pages() != e.pages->pages())
    return fail("{} of {} cache pages are not free", e.pages->pages() - e.pages->free_pages(),
                e.pages->pages());
  return {};
}

Result<Score> Engine::score(const std::vector<int32_t>& ids) {
  Impl& e = *impl_;
  const FloatMode mode;
  CHECK(idle(), "score() while requests run");
  const auto n = static_cast<int64_t>(ids.size());
  if (n == 0) return fail("no token ids");
  for (int32_t id : ids)
    if (id < 0 || id >= e.info.vocab)
      return fail("token id {} is not in the vocabulary of {}", id, e.info.vocab);
  if (n > e.info.context) return fail("{} tokens, the context holds {}", n, e.info.context);
  kv::Sequence sequence(*e.pages);
  if (!sequence.reserve(n))
    return fail("{} tokens, the cache holds {}", n, e.pages->pages() * kv::kPositions);
  Score score;
  double sum = 0;
  const int64_t chunk = std::min(kScoreRows, e.options.max_running + e.options.prefill_chunk);
  std::vector<int32_t> rows(static_cast<size_t>(chunk));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  for (int64_t at = 0; at < n; at += chunk) {
    const int64_t count = std::min(chunk, n - at);
    const model::Segment segment{&sequence, 0, static_cast<int>(count), at};
    e.forward->run({std::span(ids).subspan(static_cast<size_t>(at), static_cast<size_t>(count)),
                    {&segment, 1},
                    std::span(rows).first(static_cast<size_t>(count)),
                    {},
                    nullptr});
    sequence.extend(count);
    for (int64_t i = 0; i < count; ++i) {
      const std::span<const float> logits = e.forward->logits(static_cast<int>(i));
      if (!e.forward->row_ok(static_cast<int>(i)) || sample::argmax(logits) < 0)
        return fail("position {}: an activation is not finite", at + i);
      if (at + i + 1 == n) {
        const auto top = sample::top_logprobs(logits, sample::argmax(logits), 20);
        for (size_t k = 1; k < top.size(); ++k)  // [0] is the chosen once more
          score.top.emplace_back(top[k].id, logits[static_cast<size_t>(top[k].id)]);
      } else {
        sum += sample::log_sum_exp(logits) -
               logits[static_cast<size_t>(ids[static_cast<size_t>(at + i + 1)])];
      }
    }
  }
  if (n > 1) score.nll = sum / static_cast<double>(n - 1);
  return score;
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

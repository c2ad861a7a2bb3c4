// A step: who brings which rows to the target, and what they became.
#include <algorithm>

#include "engine/impl.h"

namespace dspark::engine {
namespace {

// Most prompt rows of a step in which others decode: so long they wait for their next token. From
// here on a prompt's rows cost about the same in smaller and in larger chunks.
constexpr int kChunkBesideOthers = 64;

}  // namespace

void Engine::Impl::warn_once(const std::string& text) {
  const auto said = std::find(info.warnings.begin(), info.warnings.end(), text);
  if (text.empty() || said != info.warnings.end()) return;
  log_warning("{}", text);
  info.warnings.push_back(text);
}

// Drafts for the decoding requests, and how many of each the target checks.
void Engine::Impl::draft() {
  stats = {};
  decoding.clear();
  int64_t prompt_rows = 0;
  for (const auto& request : running) {
    if (request->prefilling())
      prompt_rows += request->rows_ready();
    else
      decoding.push_back(request.get());
  }
  if (speculation == nullptr || decoding.empty()) return;
  const auto start = Clock::now();
  speculation->draft(decoding, info.context);
  stats.draft_ms = milliseconds_since(start);
  const auto drafted = Clock::now();
  const auto prompts = static_cast<int>(std::min<int64_t>(prompt_rows, chunk_rows()));
  const verify::Plan plan = speculation->plan(decoding, prompts, &stats.predicted_ms);
  stats.plan_ms = milliseconds_since(drafted);
  stats.planned = true;
  stats.expected_tokens = plan.expected_tokens;
  const int draft_rows = plan.rows - prompts - static_cast<int>(decoding.size());
  stats.budget = plan.budget >= 0 ? plan.budget : draft_rows;
  stats.lag = plan.budget >= 0 ? kLag : 0;
}

// Most prompt rows of this step.
int64_t Engine::Impl::chunk_rows() const {
  return decoding.empty() ? options.prefill_chunk
                          : std::min(options.prefill_chunk, kChunkBesideOthers);
}

void Engine::Impl::add_rows(ActiveRequest& request, int64_t count) {
  const int64_t position = request.sequence().length();
  const bool decodes = !request.prefilling();
  const int first_row = static_cast<int>(rows.tokens.size());
  for (int64_t i = 0; i < count; ++i) rows.tokens.push_back(request.token_at(position + i));
  if (decodes) {
    const DraftState& draft = request.draft();
    rows.tokens.insert(rows.tokens.end(), draft.block.ids.begin(),
                       draft.block.ids.begin() + draft.verify_length);
  }
  const int last_row = static_cast<int>(rows.tokens.size());
  rows.segments.push_back({&request.sequence(), first_row, last_row - first_row, position});
  rows.requests.push_back(&request);
  rows.first_logit.push_back(static_cast<int>(rows.logit_rows.size()));
  // Logits of the anchor and its drafts, or of a prompt's last row.
  const bool ends_prompt = !decodes && !request.answering() && count == request.rows_ready();
  for (int row = decodes ? first_row : last_row - (ends_prompt ? 1 : 0); row < last_row; ++row)
    rows.logit_rows.push_back(row);
  if (!request.started()) request.start(Clock::now());
}

// Every decoding request brings its anchor and drafts; prompts share the chunk in order of arrival.
void Engine::Impl::plan_rows() {
  rows.clear();
  shares.clear();
  int64_t chunk_left = chunk_rows();
  for (const auto& request : running) {
    const int64_t count = request->prefilling() ? std::min(request->rows_ready(), chunk_left) : 1;
    if (request->prefilling()) chunk_left -= count;
    shares.push_back(
        {.id = request->id(), .prompt_rows = request->prefilling() ? static_cast<int>(count) : 0});
    if (count > 0) add_rows(*request, count);
  }
}

void Engine::Impl::choose_first(size_t s) {
  const model::Segment& segment = rows.segments[s];
  ActiveRequest& request = *rows.requests[s];
  for (int r = 0; r < segment.rows; ++r)
    if (!forward->row_ok(segment.first_row + r))
      return request.finish(Finish::kError, fmt::format("position {}: an activation is not finite",
                                                        segment.position + r));
  request.sequence().extend(segment.rows);
  if (request.prefilling()) return;
  if (!request.answering()) request.advance(forward->logits(rows.first_logit[s]), info.context);
}

void Engine::Impl::run_step() {
  const auto start = Clock::now();
  make_room();
  draft();
  plan_rows();
  const auto planned = Clock::now();
  model::Batch batch{rows.tokens, rows.segments, rows.logit_rows};
  if (speculation != nullptr && speculation->wants_features(rows.requests)) {
    batch.tap_layers = speculation->taps();
    batch.taps = speculation->features();
  }
  forward->run(batch);
  stats.forward_ms = milliseconds_since(planned);
  const auto forwarded = Clock::now();
  check_drafts();
  filled.clear();
  auto share = shares.begin();
  for (size_t s = 0; s < rows.segments.size(); ++s) {
    ActiveRequest& request = *rows.requests[s];
    share = std::find_if(share, shares.end(),
                         [&](const RequestStep& of) { return of.id == request.id(); });
    const int64_t before = request.sequence().length();
    const bool of_prompt = request.prefilling();
    if (of_prompt)
      choose_first(s);
    else
      commit(s, *share);
    share->finished = request.finished();
    if (of_prompt && !request.prefilling() && !request.finished()) filled.push_back(&request);
    if (speculation != nullptr && !request.finished())
      speculation->keep(request, rows.segments[s],
                        static_cast<int>(request.sequence().length() - before), of_prompt);
  }
  stats.verify_ms = milliseconds_since(forwarded);
  const double drafting_ms = stats.draft_ms;
  if (speculation != nullptr) {
    const auto verified = Clock::now();
    speculation->absorb();
    stats.absorb_ms = milliseconds_since(verified);
    stats.draft_ms += stats.absorb_ms;
  }
  for (const ActiveRequest* request : filled) remember(*request);
  stats.rows = static_cast<int>(rows.tokens.size());
  stats.requests = static_cast<int>(rows.segments.size());
  stats.logit_rows = static_cast<int>(rows.logit_rows.size());
  stats.decoding = static_cast<int>(decoding.size());
  stats.running = static_cast<int>(running.size());
  stats.waiting = static_cast<int>(waiting.size());
  stats.by_request = shares;
  stats.ms = milliseconds_since(start);
  if (speculation != nullptr) {
    int prompt_rows = 0;
    for (const RequestStep& of : shares) prompt_rows += of.prompt_rows;
    speculation->learn_costs(decoding, stats.rows, prompt_rows, stats.ms - stats.draft_ms,
                             drafting_ms, stats.rows == stats.logit_rows && filled.empty());
  }
  if (options.on_step) options.on_step(stats);
}

void Engine::Impl::drop_finished() {
  // Pages go back before anybody hears of it: a callback may submit again.
  std::vector<std::unique_ptr<ActiveRequest>> done;
  for (auto& request : running)
    if (request->finished()) done.push_back(std::move(request));
  std::erase(running, nullptr);
  for (const auto& request : done) {
    if (!request->failed()) remember(*request);
    request->sequence().clear();
  }
  for (const auto& request : done) request->report();
}

bool Engine::step() {
  Impl& e = *impl_;
  CHECK(!e.in_step, "step() called from a callback");
  const FloatMode mode;
  e.admit();
  if (e.running.empty()) return false;
  e.in_step = true;
  e.run_step();
  for (size_t i = 0; i < e.running.size(); ++i)
    if (!e.running[i]->finished()) e.running[i]->report();
  e.in_step = false;
  e.drop_finished();
  return !idle();
}

}  // namespace dspark::engine

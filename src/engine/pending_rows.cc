// Features on their way from the target's rows to the drafter.
#include <algorithm>

#include "engine/speculation.h"

namespace dspark::engine {
namespace {

// Features of a request that does not draft: of these newest rows they are kept, and of twice as
// many at most. That many rows are nearly as good to a drafter as all (docs/decisions.md).
constexpr int kKeptRows = 64;
// Pending rows that go with the draft itself; more are taken in before.
constexpr int kRowsOfDraft = 16;

}  // namespace

size_t Speculation::most_pending_rows() { return 2 * kKeptRows; }

int Speculation::most_context_rows(const Options& options) {
  return std::max(options.prefill_chunk, 2 * kKeptRows) + options.max_running * kRowsOfDraft;
}

void Speculation::allot(int step_rows) {
  features_.resize(static_cast<size_t>(step_rows) * feature_width_);
}

draft::ContextRows Speculation::context_of(ActiveRequest& request, int rows) const {
  DraftState& state = request.draft();
  draft::ContextRows context{
      &request.sequence(), state.drafter_rows, rows, state.pending.data(), {},
      state.drafter.get(), state.seen_from};
  if (rows > 0)
    context.tokens = request.tokens().subspan(static_cast<size_t>(state.drafter_rows),
                                              static_cast<size_t>(rows) + 1);
  return context;
}

// All pending rows but the newest, where there are many.
void Speculation::take_in(ActiveRequest& request) {
  DraftState& state = request.draft();
  if (state.pending_rows <= kRowsOfDraft) return;
  const draft::ContextRows context = context_of(request, state.pending_rows - 1);
  drafter_->absorb({&context, 1});
  state.drafter_rows += context.rows;
  state.pending_rows = 1;
  std::copy_n(state.pending.data() + static_cast<size_t>(context.rows) * feature_width_,
              feature_width_, state.pending.data());
}

void Speculation::keep(ActiveRequest& request, const model::Segment& segment, int rows,
                       bool of_prompt) {
  DraftState& state = request.draft();
  if (feature_width_ == 0 || state.off || rows == 0) return;
  const int64_t position = segment.position;
  const float* from = features_.data() + static_cast<size_t>(segment.first_row) * feature_width_;
  CHECK(position == state.drafter_rows + state.pending_rows, "rows from {} on, {} are known",
        position, state.drafter_rows + state.pending_rows);
  // Rows of a prompt are taken in at once, where they lie; but the newest row of all always waits:
  // a draft call needs it, and what follows it may not be known yet.
  const int at_once = !of_prompt || state.pending_rows > 0 || rests(request) ? 0
                      : request.prefilling()                                 ? rows
                                                                             : rows - 1;
  if (at_once > 0) {
    absorbing_.push_back(
        {&request.sequence(), position, at_once, from,
         request.tokens().subspan(static_cast<size_t>(position), static_cast<size_t>(at_once) + 1),
         state.drafter.get(), state.seen_from});
    state.drafter_rows += at_once;
  }
  put_off(state, from + static_cast<size_t>(at_once) * feature_width_, position + at_once,
          rows - at_once);
}

// features: [rows, taps * hidden], of positions from `position` on.
void Speculation::put_off(DraftState& state, const float* features, int64_t position,
                          int rows) const {
  if (state.pending_rows + rows > 2 * kKeptRows) {
    const int old = std::clamp(kKeptRows - rows, 0, state.pending_rows);
    std::copy_n(
        state.pending.data() + static_cast<size_t>(state.pending_rows - old) * feature_width_,
        static_cast<size_t>(old) * feature_width_, state.pending.data());
    const int skipped = std::max(rows - kKeptRows, 0);
    features += static_cast<size_t>(skipped) * feature_width_;
    rows -= skipped;
    state.seen_from = state.drafter_rows = position + skipped - old;
    state.pending_rows = old;
  }
  std::copy_n(features, static_cast<size_t>(rows) * feature_width_,
              state.pending.data() + static_cast<size_t>(state.pending_rows) * feature_width_);
  state.pending_rows += rows;
}

void Speculation::absorb() {
  if (!absorbing_.empty()) drafter_->absorb(absorbing_);
  absorbing_.clear();
}

}  // namespace dspark::engine

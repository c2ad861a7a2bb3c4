// Who runs, and with which pages. First come, first served, those in the background behind the
// others: a request joins when the cache holds what it is so far and a page more; when the cache
// runs out, the last gives its pages up and begins again later, from what is then still known of
// it. So does one in the background whose place another needs.
#include <algorithm>

#include "engine/impl.h"

namespace dspark::engine {
namespace {

// Known rows that a request computes again so that the drafter has all before them. Where more
// are not the drafter's, it goes without them.
constexpr int64_t kRowsAgain = 16;
// While requests wait in the background, every so many that join one of them goes first.
constexpr int kJoinsOfAPromotion = 8;

}  // namespace

int64_t Engine::Impl::positions_wanted(const ActiveRequest& request) const {
  const int64_t needed = request.positions_needed(info.context);
  if (speculation == nullptr) return needed;
  // A cache that holds the request but not the scratch rows runs it with fewer drafts.
  return std::min(needed + speculation->scratch_rows(), pages->pages() * kv::kPositions);
}

int64_t Engine::Impl::positions_next(const ActiveRequest& request) const {
  int64_t rows = std::min<int64_t>(request.rows_ready(), options.prefill_chunk);
  if (speculation != nullptr) rows += speculation->slots() + speculation->scratch_rows();
  return std::min(positions_wanted(request), request.sequence().length() + rows);
}

// Pages that nobody uses are forgotten for it.
bool Engine::Impl::reserve(kv::Sequence& sequence, int64_t positions) {
  const int64_t missing = (positions - sequence.capacity() + kv::kPositions - 1) / kv::kPositions;
  return missing <= 0 || (prefixes->make_free(missing) && sequence.reserve(positions));
}

// Takes over what is known of its beginning and reserves the rest of what it is so far. The last
// row is always computed: its logits, and its features for the drafter, are kept nowhere.
bool Engine::Impl::begin(ActiveRequest& request) {
  const bool drafts = speculation != nullptr && speculation->wants_rows(request);
  const auto match = prefixes->find(request.tokens());
  const bool again = drafts && match.rows - match.drafter_rows <= kRowsAgain;
  const int64_t known =
      std::clamp<int64_t>(again ? match.drafter_rows : match.rows, 0, request.rows_ready() - 1);
  const int64_t so_far = std::min(positions_wanted(request),
                                  static_cast<int64_t>(request.tokens().size()) + kv::kPositions);
  int64_t needed = (so_far + kv::kPositions - 1) / kv::kPositions;
  for (int64_t p = 0; p < known / kv::kPositions; ++p)
    if (pages->users(match.pages[static_cast<size_t>(p)]) > 1) --needed;
  // Those that run need a page each before long.
  if (!running.empty()) needed += static_cast<int64_t>(running.size());
  if (pages->free_pages() + prefixes->unused() < needed) return false;
  kv::Sequence& sequence = request.sequence();
  sequence.expect(positions_wanted(request));
  prefixes->give(match, known, sequence);
  if (!reserve(sequence, so_far)) {
    sequence.clear();
    return false;
  }
  request.begins();
  if (speculation != nullptr) speculation->join(request, sequence.length() <= match.drafter_rows);
  return true;
}

void Engine::Impl::insert(std::unique_ptr<ActiveRequest> request, Requests& in_order) {
  const auto after = std::find_if(in_order.begin(), in_order.end(),
                                  [&](const auto& other) { return request->goes_before(*other); });
  in_order.insert(after, std::move(request));
}

// The first that waits; now and then the first in the background, so that those aren't starved.
ActiveRequest& Engine::Impl::next_to_join() {
  const auto background = std::find_if(
      waiting.begin(), waiting.end(), [](const auto& request) { return request->in_background(); });
  if (background == waiting.end()) joined_since_promoted = 0;
  if (joined_since_promoted >= kJoinsOfAPromotion - 1) {
    joined_since_promoted = 0;
    std::unique_ptr<ActiveRequest> promoted = std::move(*background);
    waiting.erase(background);
    promoted->promote();
    waiting.push_front(std::move(promoted));
  }
  return *waiting.front();
}

bool Engine::Impl::displaces_last(const ActiveRequest& next) const {
  return !next.in_background() && !running.empty() && running.back()->in_background();
}

void Engine::Impl::admit() {
  while (!waiting.empty()) {
    ActiveRequest& next = next_to_join();
    while (static_cast<int>(running.size()) >= options.max_running || !begin(next)) {
      if (!displaces_last(next)) return;
      preempt_last();
    }
    if (speculation != nullptr) warn_once(speculation->lack_of_calibration(next));
    insert(std::move(waiting.front()), running);  // those displaced wait behind it
    waiting.pop_front();
    ++joined_since_promoted;
  }
}

void Engine::Impl::preempt_last() {
  std::unique_ptr<ActiveRequest> request = std::move(running.back());
  running.pop_back();
  remember(*request);
  request->suspend();
  insert(std::move(request), waiting);
}

// Pages for the rows that each request brings to this step, the oldest first.
void Engine::Impl::make_room() {
  for (size_t i = 0; i < running.size(); ++i)
    while (i < running.size() && !reserve(running[i]->sequence(), positions_next(*running[i])))
      preempt_last();
  CHECK(!running.empty(), "the cache does not hold a request that was accepted");
}

// What a request's pages hold is known from now on.
void Engine::Impl::remember(const ActiveRequest& request) {
  const kv::Sequence& sequence = request.sequence();
  // Of a cycle whose second draft ended the request all rows count, but not all tokens.
  const auto tokens = static_cast<int64_t>(request.tokens().size());
  prefixes->add(request.tokens(), std::min(sequence.length(), tokens), sequence.pages(),
                request.draft().seen_from == 0 ? request.draft().drafter_rows : 0);
}

}  // namespace dspark::engine

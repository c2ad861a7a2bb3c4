#include "verify/ranking.h"

#include <algorithm>

namespace dspark::verify {
namespace {

bool before(const Ranking::Candidate& a, const Ranking::Candidate& b) {
  if (a.survival != b.survival) return a.survival > b.survival;
  if (a.slot != b.slot) return a.slot < b.slot;
  return a.request < b.request;
}

}  // namespace

int most_slots(const RequestView& request) {
  return std::max(0, std::min(request.drafted, request.limit));
}

bool Ranking::candidate(int request, int slot, Candidate* out) const {
  const RequestView& view = requests_[static_cast<size_t>(request)];
  // What was drafted now doesn't bound the slots of then: by it the tokens of this step (a stop
  // token that ends a block, say) would decide how many slots are verified before them.
  const auto& survival = by_ == By::kSurvival ? view.survival : view.lagged_survival;
  const int most = by_ == By::kSurvival ? most_slots(view) : view.limit;
  const auto j = static_cast<size_t>(slot);
  if (slot >= most || j >= survival.size() || !(survival[j] > 0)) return false;
  *out = {survival[j], slot, request};
  return true;
}

void Ranking::start(std::span<const RequestView> requests, By by) {
  requests_ = requests;
  by_ = by;
  heap_.clear();
  Candidate first;
  for (int r = 0; r < static_cast<int>(requests.size()); ++r)
    if (candidate(r, 0, &first)) heap_.push_back(first);
  for (size_t place = heap_.size() / 2; place-- > 0;) sift_down(place);
}

void Ranking::pop() {
  const Candidate top = heap_.front();
  if (!candidate(top.request, top.slot + 1, &heap_.front())) {
    heap_.front() = heap_.back();
    heap_.pop_back();
  }
  if (!heap_.empty()) sift_down(0);
}

void Ranking::sift_down(size_t place) {
  const Candidate moved = heap_[place];
  for (;;) {
    size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], moved)) break;
    heap_[place] = heap_[child];
    place = child;
  }
  heap_[place] = moved;
}

}  // namespace dspark::verify

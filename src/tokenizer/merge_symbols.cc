#include <algorithm>
#include <queue>

#include "tokenizer/bpe_impl.h"

namespace dspark::tokenizer {
namespace {

constexpr size_t kShort = 24;  // below this, scanning beats a heap

void merge_short(const Vocabulary& vocabulary, std::vector<int32_t>& symbols) {
  Vocabulary::Merge merges[kShort];
  size_t n = symbols.size();
  for (size_t i = 0; i + 1 < n; ++i) merges[i] = vocabulary.merge(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = n;
    for (size_t i = 0; i + 1 < n; ++i)
      if (merges[i].id >= 0 && (best == n || merges[i].rank < merges[best].rank)) best = i;
    if (best == n) break;
    symbols[best] = merges[best].id;
    std::copy(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 2, symbols.begin() + static_cast<std::ptrdiff_t>(n),
              symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(merges + best + 1, merges + n - 1, merges + best);
    --n;
    if (best > 0) merges[best - 1] = vocabulary.merge(symbols[best - 1], symbols[best]);
    if (best + 1 < n) merges[best] = vocabulary.merge(symbols[best], symbols[best + 1]);
  }
  symbols.resize(n);
}

struct Candidate {
  uint32_t rank;
  int32_t left;       // index of the left symbol
  int32_t left_id, right_id, merged;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

void merge_symbols(const Vocabulary& vocabulary, std::vector<int32_t>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShort) return merge_short(vocabulary, symbols);
  const auto n = static_cast<int32_t>(symbols.size());
  std::vector<int32_t> next(symbols.size()), previous(symbols.size());
  for (int32_t i = 0; i < n; ++i) {
    next[static_cast<size_t>(i)] = i + 1 < n ? i + 1 : -1;
    previous[static_cast<size_t>(i)] = i - 1;
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto offer = [&](int32_t left) {
    if (left < 0 || next[static_cast<size_t>(left)] < 0) return;
    const int32_t l = symbols[static_cast<size_t>(left)];
    const int32_t r = symbols[static_cast<size_t>(next[static_cast<size_t>(left)])];
    const Vocabulary::Merge merge = vocabulary.merge(l, r);
    if (merge.id >= 0) heap.push({merge.rank, left, l, r, merge.id});
  };
  for (int32_t i = 0; i + 1 < n; ++i) offer(i);
  while (!heap.empty()) {
    const Candidate c = heap.top();
    heap.pop();
    const auto left = static_cast<size_t>(c.left);
    // Stale when either side has merged since.
    if (symbols[left] != c.left_id || next[left] < 0 || symbols[static_cast<size_t>(next[left])] != c.right_id) continue;
    const auto right = static_cast<size_t>(next[left]);
    symbols[left] = c.merged;
    symbols[right] = -1;
    next[left] = next[right];
    if (next[right] >= 0) previous[static_cast<size_t>(next[right])] = c.left;
    offer(previous[left]);
    offer(c.left);
  }
  std::erase(symbols, -1);
}

}  // namespace dspark::tokenizer

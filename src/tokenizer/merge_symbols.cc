#include "tokenizer/merge_symbols.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <span>

namespace dspark::tokenizer {
namespace {

constexpr size_t kShort = 24;  // up to here, scanning beats a heap
constexpr uint32_t kNone = UINT32_MAX;

// Both return how many symbols are left, at the front.
size_t merge_short(const Vocabulary& vocabulary, std::span<int32_t> symbols) {
  uint32_t ranks[kShort];  // of symbol i with symbol i + 1
  int32_t merged[kShort];
  size_t n = symbols.size();
  const auto look_up = [&](size_t i) {
    const Vocabulary::Merge merge = vocabulary.merge(symbols[i], symbols[i + 1]);
    ranks[i] = merge.id < 0 ? kNone : merge.rank;
    merged[i] = merge.id;
  };
  for (size_t i = 0; i + 1 < n; ++i) look_up(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == kNone) break;
    symbols[best] = merged[best];
    const size_t after = n - best - 2;  // symbols right of the pair
    std::memmove(&symbols[best] + 1, &symbols[best] + 2, after * sizeof(int32_t));
    std::memmove(ranks + best, ranks + best + 1, after * sizeof(uint32_t));
    std::memmove(merged + best, merged + best + 1, after * sizeof(int32_t));
    --n;
    if (best > 0) look_up(best - 1);
    if (best + 1 < n) look_up(best);
  }
  return n;
}

size_t merge_long(const Vocabulary& vocabulary, std::span<int32_t> symbols) {
  // A list of the live symbols, each with the merge that it and its right neighbour can make.
  struct Link {
    uint32_t next, previous;
    uint32_t rank;
    int32_t merged;
  };
  const auto n = static_cast<uint32_t>(symbols.size());
  std::vector<Link> links(n);
  std::vector<uint64_t> heap;  // rank << 32 | left; stale where the link's rank has changed since
  heap.reserve(n);
  const auto look_up = [&](uint32_t left) {
    Link& link = links[left];
    link.rank = kNone;
    if (link.next == kNone) return false;
    const Vocabulary::Merge merge = vocabulary.merge(symbols[left], symbols[link.next]);
    if (merge.id < 0) return false;
    link.rank = merge.rank;
    link.merged = merge.id;
    return true;
  };
  const auto entry = [&](uint32_t left) { return uint64_t{links[left].rank} << 32 | left; };
  for (uint32_t i = 0; i < n; ++i) links[i] = {i + 1 < n ? i + 1 : kNone, i - 1, kNone, -1};
  for (uint32_t i = 0; i < n; ++i)
    if (look_up(i)) heap.push_back(entry(i));
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto offer = [&](uint32_t left) {
    if (left == kNone || !look_up(left)) return;
    heap.push_back(entry(left));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    const uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const auto left = static_cast<uint32_t>(top);
    if (links[left].rank != top >> 32) continue;
    const uint32_t right = links[left].next;
    symbols[left] = links[left].merged;
    symbols[right] = -1;
    links[right].rank = kNone;
    links[left].next = links[right].next;
    if (links[left].next != kNone) links[links[left].next].previous = left;
    offer(links[left].previous);
    offer(left);
  }
  return static_cast<size_t>(std::remove(symbols.begin(), symbols.end(), -1) - symbols.begin());
}

}  // namespace

void merge_symbols(const Vocabulary& vocabulary, std::vector<int32_t>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShort) {
    symbols.resize(merge_short(vocabulary, symbols));
    return;
  }
  // Cut where no merge can reach across; plain vocabularies get a whole text as one piece.
  size_t kept = 0;
  for (size_t begin = 0; begin < symbols.size();) {
    size_t end = begin + 1;
    while (end < symbols.size() && vocabulary.may_join(symbols[end - 1], symbols[end])) ++end;
    const std::span<int32_t> run(symbols.data() + begin, end - begin);
    const size_t left =
        run.size() <= kShort ? merge_short(vocabulary, run) : merge_long(vocabulary, run);
    if (kept != begin) std::memmove(symbols.data() + kept, run.data(), left * sizeof(int32_t));
    kept += left;
    begin = end;
  }
  symbols.resize(kept);
}

}  // namespace dspark::tokenizer

#include "learn/token_counts.h"

#include <algorithm>
#include <numeric>

namespace dspark::learn {

Status TokenCounts::add(std::span<const int32_t> ids, std::span<const uint8_t> loss_mask) {
  CHECK(ids.size() == loss_mask.size());
  for (const int32_t id : ids)
    if (id < 0 || id >= vocab())
      return fail("expected token ids from 0 to {}, found {}", vocab() - 1, id);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!loss_mask[i]) continue;
    ++counts_[static_cast<size_t>(ids[i])];
    ++total_;
  }
  return {};
}

int64_t TokenCounts::distinct() const {
  return std::count_if(counts_.begin(), counts_.end(), [](int64_t count) { return count > 0; });
}

std::vector<int32_t> draft_vocabulary(const TokenCounts& counts, int32_t n) {
  std::vector<int32_t> ids(static_cast<size_t>(counts.vocab()));
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = [&](int32_t id) { return counts.counts()[static_cast<size_t>(id)]; };
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int32_t a, int32_t b) { return count(a) > count(b); });
  ids.resize(std::min(ids.size(), static_cast<size_t>(std::max(n, 0))));
  std::sort(ids.begin(), ids.end());
  return ids;
}

double coverage(const TokenCounts& counts, std::span<const int32_t> ids) {
  if (counts.total() == 0) return 0;
  int64_t covered = 0;
  for (const int32_t id : ids) covered += counts.counts()[static_cast<size_t>(id)];
  return static_cast<double>(covered) / static_cast<double>(counts.total());
}

}  // namespace dspark::learn

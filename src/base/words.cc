#include "base/words.h"

#include <algorithm>
#include <utility>

namespace dspark {
namespace {

// Insertions, deletions, substitutions and swaps of neighbours.
int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int substituted = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({substituted, last[j] + 1, now[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& valid) {
  // The first of a pair decides: of words that it begins, the shortest.
  const auto score = [&](const std::string& candidate) -> std::pair<int, size_t> {
    if (!word.empty() && candidate.starts_with(word)) return {0, candidate.size()};
    if (candidate.size() >= 2 && word.starts_with(candidate)) return {0, candidate.size()};
    return {edit_distance(word, candidate), 0};
  };
  return *std::min_element(valid.begin(), valid.end(),
                           [&](const auto& a, const auto& b) { return score(a) < score(b); });
}

}  // namespace dspark

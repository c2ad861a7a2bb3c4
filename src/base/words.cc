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
  const auto score = [&](const std::string& candidate) {
    const bool begins =
        word.size() >= 2 &&
        (candidate.starts_with(word) || (candidate.size() >= 2 && word.starts_with(candidate)));
    return begins ? 0 : edit_distance(word, candidate);
  };
  return *std::min_element(valid.begin(), valid.end(),
                           [&](const auto& a, const auto& b) { return score(a) < score(b); });
}

}  // namespace dspark

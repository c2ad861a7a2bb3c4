#include <emmintrin.h>

#include <algorithm>
#include <limits>

#include "sample/sample.h"

namespace dspark::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargestFinite = std::numeric_limits<float>::max();

// What a pass over some logits finds.
struct Extent {
  float largest = -kInfinity;  // of those that are numbers
  bool bad = false;            // a NaN or +inf among them
};

Extent extent_of(std::span<const float> logits) {
  const __m128 limit = _mm_set1_ps(kLargestFinite);
  __m128 largest[4], bad = _mm_setzero_ps();
  for (__m128& lanes : largest) lanes = _mm_set1_ps(-kInfinity);
  size_t i = 0;
  for (; i + 16 <= logits.size(); i += 16)
    for (size_t k = 0; k < 4; ++k) {
      const __m128 v = _mm_loadu_ps(logits.data() + i + 4 * k);
      largest[k] = _mm_max_ps(v, largest[k]);
      bad = _mm_or_ps(bad, _mm_cmpnle_ps(v, limit));  // also true for NaN
    }
  float lanes[4];
  _mm_storeu_ps(lanes,
                _mm_max_ps(_mm_max_ps(largest[0], largest[1]), _mm_max_ps(largest[2], largest[3])));
  Extent extent{*std::max_element(lanes, lanes + 4), _mm_movemask_ps(bad) != 0};
  for (; i < logits.size(); ++i) {
    extent.bad |= !(logits[i] <= kLargestFinite);
    if (logits[i] > extent.largest) extent.largest = logits[i];
  }
  return extent;
}

}  // namespace

int32_t argmax(std::span<const float> logits) {
  // By blocks, so that the place is looked for in one of them alone.
  constexpr size_t kBlock = 1024;
  float largest = -kInfinity;
  size_t block = 0;
  for (size_t start = 0; start < logits.size(); start += kBlock) {
    const Extent extent = extent_of(logits.subspan(start, std::min(kBlock, logits.size() - start)));
    if (extent.bad) return -1;
    if (extent.largest > largest) {
      largest = extent.largest;
      block = start;
    }
  }
  if (largest == -kInfinity) return -1;
  const auto found =
      std::find(logits.begin() + static_cast<ptrdiff_t>(block), logits.end(), largest);
  return static_cast<int32_t>(found - logits.begin());
}

}  // namespace dspark::sample

#include "sample/order.h"

#include <emmintrin.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "sample/weights.h"

namespace dspark::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Appends the keys of the tokens with from <= logit < below.
void append_band(std::span<const float> logits, float from, float below,
                 std::vector<OrderKey>& kept) {
  const auto append = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i)
      if (logits[i] >= from && logits[i] < below)
        kept.push_back(order_key(logits[i], static_cast<int32_t>(i)));
  };
  const __m128 lowest = _mm_set1_ps(from), bound = _mm_set1_ps(below);
  size_t i = 0;
  for (; i + 8 <= logits.size(); i += 8) {
    const __m128 a = _mm_loadu_ps(logits.data() + i), b = _mm_loadu_ps(logits.data() + i + 4);
    const __m128 in_a = _mm_and_ps(_mm_cmpge_ps(a, lowest), _mm_cmplt_ps(a, bound));
    const __m128 in_b = _mm_and_ps(_mm_cmpge_ps(b, lowest), _mm_cmplt_ps(b, bound));
    if (_mm_movemask_ps(_mm_or_ps(in_a, in_b)) != 0) append(i, i + 8);
  }
  append(i, logits.size());
}

// Gathers ever less likely tokens until enough() of the keys gathered, so that the bulk of the
// vocabulary is looked at but rarely kept. step: how far below the largest logit the first band
// reaches.
template <class Enough>
void gather(std::span<const float> logits, float largest, float step, std::vector<OrderKey>& kept,
            Enough enough) {
  kept.clear();
  float below = kInfinity;
  for (const float multiple : {1.0f, 2.0f, 4.0f, 8.0f, kInfinity}) {
    const float from = largest - multiple * step;
    append_band(logits, from, below, kept);
    if (enough()) return;
    below = from;
  }
}

// Drops all but the shortest prefix, in the order of likelihood, of a mass of at least `needed`,
// which all keys together have. Selection by halves: linear time, no full sort.
void shrink_to_mass(double needed, WeightScale scale, std::vector<OrderKey>& kept) {
  size_t low = 0, high = kept.size();  // the prefix's length is in (low, high]
  uint64_t mass_to_low = 0;
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    const auto at = [&](size_t i) { return kept.begin() + static_cast<ptrdiff_t>(i); };
    std::nth_element(at(low), at(middle), at(high), std::greater<>());
    uint64_t mass_to_middle = mass_to_low;
    for (size_t i = low; i < middle; ++i) mass_to_middle += mass(key_logit(kept[i]), scale);
    if (static_cast<double>(mass_to_middle) >= needed) {
      high = middle;
    } else {
      low = middle;
      mass_to_low = mass_to_middle;
    }
  }
  kept.resize(high);
}

}  // namespace

void keep_top_k(std::span<const float> logits, float largest, size_t k,
                std::vector<OrderKey>& kept) {
  gather(logits, largest, 4.0f, kept, [&] { return kept.size() >= k; });
  if (kept.size() <= k) return;
  std::nth_element(kept.begin(), kept.begin() + static_cast<ptrdiff_t>(k), kept.end(),
                   std::greater<>());
  kept.resize(k);
}

void keep_top_p(std::span<const float> logits, float largest, float temperature, float top_p,
                std::vector<OrderKey>& kept) {
  const WeightScale scale(largest, temperature);
  const double needed = static_cast<double>(top_p) * static_cast<double>(sum_masses(logits, scale));
  uint64_t gathered = 0;
  size_t counted = 0;
  gather(logits, largest, 4.0f * temperature, kept, [&] {
    for (; counted < kept.size(); ++counted) gathered += mass(key_logit(kept[counted]), scale);
    return static_cast<double>(gathered) >= needed;
  });
  shrink_to_mass(needed, scale, kept);
}

void shrink_to_top_p(float largest, float temperature, float top_p, std::vector<OrderKey>& kept) {
  const WeightScale scale(largest, temperature);
  uint64_t total = 0;
  for (const OrderKey key : kept) total += mass(key_logit(key), scale);
  shrink_to_mass(static_cast<double>(top_p) * static_cast<double>(total), scale, kept);
}

}  // namespace dspark::sample

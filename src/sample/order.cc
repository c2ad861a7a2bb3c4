#include "sample/order.h"

#include <emmintrin.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "sample/weights.h"

namespace dspark::sample {
namespace {

// Appends the keys of the tokens with from <= logit < below.
void append_band(std::span<const float> logits, float from, float below,
                 std::vector<OrderKey>& kept) {
  size_t count = kept.size();
  const auto append = [&](size_t begin, size_t end) {
    kept.resize(count + (end - begin));
    for (size_t i = begin; i < end; ++i) {  // which are kept is as good as random: no branch
      kept[count] = order_key(logits[i], static_cast<int32_t>(i));
      count += static_cast<size_t>(logits[i] >= from) & static_cast<size_t>(logits[i] < below);
    }
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
  kept.resize(count);
}

// Gathers ever less likely tokens until enough() of the keys gathered, so that the bulk of the
// vocabulary is looked at but rarely kept. step: how far below the largest logit the first band
// reaches.
template <class Enough>
void gather(std::span<const float> logits, float largest, float step, std::vector<OrderKey>& kept,
            Enough enough) {
  kept.clear();
  float below = std::numeric_limits<float>::infinity();
  for (const float multiple : {1.0f, 2.0f, 4.0f, 8.0f, std::numeric_limits<float>::infinity()}) {
    const float from = largest - multiple * step;
    append_band(logits, from, below, kept);
    if (enough()) return;
    below = from;
  }
}

// The logits of 4 keys (see key_logit).
__m128 logits_of_4(const OrderKey* keys) {
  const __m128 a = _mm_loadu_ps(reinterpret_cast<const float*>(keys));
  const __m128 b = _mm_loadu_ps(reinterpret_cast<const float*>(keys + 2));
  const __m128i ordered = _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
  const __m128i positive = _mm_srai_epi32(ordered, 31);
  const __m128i flipped = _mm_or_si128(_mm_xor_si128(positive, _mm_set1_epi32(-1)),
                                       _mm_set1_epi32(static_cast<int>(0x80000000u)));
  return _mm_castsi128_ps(_mm_xor_si128(ordered, flipped));
}

// The mass of keys by steps of their logits' distance from the largest: likelier tokens lie in
// earlier steps, and the last step, from exp(-32) on, has no mass.
class MassSteps {
 public:
  explicit MassSteps(WeightScale scale) : scale_(scale), masses_(kSteps, 0) {}

  void add(std::span<const OrderKey> keys) {
    size_t i = 0;
    for (; i + 4 <= keys.size(); i += 4) {
      const __m128 logits = logits_of_4(&keys[i]);
      const __m128 distance =
          _mm_mul_ps(_mm_sub_ps(_mm_set1_ps(scale_.largest), logits), _mm_set1_ps(scale_.inverse));
      const __m128 steps =
          _mm_min_ps(_mm_mul_ps(distance, _mm_set1_ps(kStepsPerUnit)), _mm_set1_ps(kSteps - 1));
      alignas(16) int32_t step[4];
      uint64_t masses[4];
      _mm_store_si128(reinterpret_cast<__m128i*>(step), _mm_cvttps_epi32(steps));
      masses_of_4(logits, scale_, masses);
      for (int lane = 0; lane < 4; ++lane) add(step[lane], masses[lane]);
    }
    for (; i < keys.size(); ++i) add(step_of(keys[i]), mass(key_logit(keys[i]), scale_));
  }

  uint64_t total() const { return total_; }

  // Drops all but the shortest prefix, in the order of likelihood, of a mass of at least `needed`.
  // kept: all keys that were added. Steps decide all but those of one, which is halved: linear
  // time, no full sort.
  void shrink_to_mass(double needed, std::vector<OrderKey>& kept) const {
    int last = 0;
    uint64_t before = 0;
    while (last < kSteps - 1 &&
           static_cast<double>(before + masses_[static_cast<size_t>(last)]) < needed)
      before += masses_[static_cast<size_t>(last++)];
    size_t low = 0;
    std::vector<OrderKey> undecided;
    for (const OrderKey key : kept) {
      const int step = step_of(key);
      kept[low] = key;
      low += step < last;
      if (step == last) undecided.push_back(key);
    }
    kept.resize(low);
    kept.insert(kept.end(), undecided.begin(), undecided.end());
    size_t high = kept.size();  // the prefix's length is in (low, high]
    while (high - low > 1) {
      const size_t middle = low + (high - low) / 2;
      const auto at = [&](size_t i) { return kept.begin() + static_cast<ptrdiff_t>(i); };
      std::nth_element(at(low), at(middle), at(high), std::greater<>());
      uint64_t to_middle = before;
      for (size_t i = low; i < middle; ++i) to_middle += mass(key_logit(kept[i]), scale_);
      if (static_cast<double>(to_middle) >= needed) {
        high = middle;
      } else {
        low = middle;
        before = to_middle;
      }
    }
    kept.resize(high);
  }

 private:
  static constexpr int kStepsPerUnit = 64, kSteps = 32 * kStepsPerUnit;

  int step_of(OrderKey key) const {
    const float distance = (scale_.largest - key_logit(key)) * scale_.inverse;
    return static_cast<int>(std::min<float>(distance * kStepsPerUnit, kSteps - 1));
  }
  void add(int step, uint64_t mass) {
    masses_[static_cast<size_t>(step)] += mass;
    total_ += mass;
  }

  WeightScale scale_;
  std::vector<uint64_t> masses_;  // by step
  uint64_t total_ = 0;
};

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
  MassSteps steps(scale);
  size_t counted = 0;
  gather(logits, largest, 4.0f * temperature, kept, [&] {
    steps.add(std::span(kept).subspan(counted));
    counted = kept.size();
    return static_cast<double>(steps.total()) >= needed;
  });
  steps.shrink_to_mass(needed, kept);
}

void shrink_to_top_p(float largest, float temperature, float top_p, std::vector<OrderKey>& kept) {
  MassSteps steps(WeightScale(largest, temperature));
  steps.add(kept);
  steps.shrink_to_mass(static_cast<double>(top_p) * static_cast<double>(steps.total()), kept);
}

}  // namespace dspark::sample

#include "sample/weights.h"

#include <algorithm>
#include <limits>

namespace dspark::sample {
namespace {

// Calls use(4 weights) along the row; the last call is padded with zeros.
template <class Use>
void for_each_weight4(std::span<const float> logits, WeightScale scale, Use use) {
  size_t i = 0;
  for (; i + 4 <= logits.size(); i += 4) use(scale.of(_mm_loadu_ps(logits.data() + i)));
  if (i == logits.size()) return;
  float rest[4];
  std::fill(rest, rest + 4, -std::numeric_limits<float>::infinity());
  std::copy(logits.begin() + static_cast<ptrdiff_t>(i), logits.end(), rest);
  use(scale.of(_mm_loadu_ps(rest)));
}

// Two weights in units of 2^-40, rounded to integers: they are the low bits of the sum with 2^52.
__m128i masses2(__m128 weights) {
  const __m128d magic = _mm_set1_pd(0x1p52);
  const __m128d shifted = _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(weights), _mm_set1_pd(0x1p40)), magic);
  return _mm_sub_epi64(_mm_castpd_si128(shifted), _mm_castpd_si128(magic));
}

__m128i high2(__m128 weights) { return masses2(_mm_movehl_ps(weights, weights)); }

uint64_t sum_lanes(__m128i sums) {
  return static_cast<uint64_t>(_mm_cvtsi128_si64(sums)) +
         static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)));
}

}  // namespace

WeightScale::WeightScale(float largest, float temperature)
    // No infinite 1/temperature: times a difference of 0 it would be NaN.
    : largest(largest), inverse(std::min(1.0f / temperature, std::numeric_limits<float>::max())) {}

double sum_weights(std::span<const float> logits, WeightScale scale) {
  __m128d low = _mm_setzero_pd(), high = _mm_setzero_pd();
  for_each_weight4(logits, scale, [&](__m128 weights) {
    low = _mm_add_pd(low, _mm_cvtps_pd(weights));
    high = _mm_add_pd(high, _mm_cvtps_pd(_mm_movehl_ps(weights, weights)));
  });
  double lanes[2];
  _mm_storeu_pd(lanes, _mm_add_pd(low, high));
  return lanes[0] + lanes[1];
}

void row_weights(std::span<const float> logits, WeightScale scale, std::span<float> out) {
  size_t i = 0;
  for_each_weight4(logits, scale, [&](__m128 weights) {
    if (i + 4 <= out.size()) {
      _mm_storeu_ps(out.data() + i, weights);
    } else {
      float rest[4];
      _mm_storeu_ps(rest, weights);
      std::copy_n(rest, out.size() - i, out.data() + i);
    }
    i += 4;
  });
}

float weight(float logit, WeightScale scale) { return _mm_cvtss_f32(scale.of(_mm_set1_ps(logit))); }

void normalise(std::span<float> weights) {
  __m128d low = _mm_setzero_pd(), high = _mm_setzero_pd();
  size_t i = 0;
  for (; i + 4 <= weights.size(); i += 4) {
    const __m128 four = _mm_loadu_ps(weights.data() + i);
    low = _mm_add_pd(low, _mm_cvtps_pd(four));
    high = _mm_add_pd(high, _mm_cvtps_pd(_mm_movehl_ps(four, four)));
  }
  double lanes[2];
  _mm_storeu_pd(lanes, _mm_add_pd(low, high));
  double sum = lanes[0] + lanes[1];
  for (; i < weights.size(); ++i) sum += static_cast<double>(weights[i]);

  const auto inverse = static_cast<float>(1 / sum);
  for (i = 0; i + 4 <= weights.size(); i += 4) {
    float* four = weights.data() + i;
    _mm_storeu_ps(four, _mm_mul_ps(_mm_loadu_ps(four), _mm_set1_ps(inverse)));
  }
  for (; i < weights.size(); ++i) weights[i] *= inverse;
}

uint64_t mass(float logit, WeightScale scale) {
  return static_cast<uint64_t>(_mm_cvtsi128_si64(masses2(scale.of(_mm_set1_ps(logit)))));
}

void masses_of_4(__m128 logits, WeightScale scale, uint64_t masses[4]) {
  const __m128 weights = scale.of(logits);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(masses), masses2(weights));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(masses + 2), high2(weights));
}

uint64_t sum_masses(std::span<const float> logits, WeightScale scale) {
  __m128i sums = _mm_setzero_si128();
  for_each_weight4(logits, scale, [&](__m128 weights) {
    sums = _mm_add_epi64(sums, _mm_add_epi64(masses2(weights), high2(weights)));
  });
  return sum_lanes(sums);
}

}  // namespace dspark::sample

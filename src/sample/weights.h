// Private to the room sample: unnormalised probabilities exp((logit - max) / temperature) of whole
// rows, in single precision (relative error about 3e-7), summed in double or in fixed point. SSE2,
// which every x86-64 has, so every machine does the same operations.
#pragma once

#include <emmintrin.h>

#include <cstdint>
#include <span>

namespace dspark::sample {

// exp of 4 lanes <= 0; 0 below -87.
inline __m128 exp4(__m128 x) {
  const __m128 kept = _mm_cmpge_ps(x, _mm_set1_ps(-87.0f));
  x = _mm_max_ps(x, _mm_set1_ps(-87.0f));
  // n = round(x / ln 2) by adding 1.5 * 2^23: the low bits of the sum are n itself.
  const __m128 magic = _mm_set1_ps(12582912.0f);
  const __m128 shifted = _mm_add_ps(_mm_mul_ps(x, _mm_set1_ps(1.44269504f)), magic);
  const __m128 n = _mm_sub_ps(shifted, magic);
  // ln 2 in two parts; the first has 10 bits, so n times it is exact.
  __m128 r = _mm_sub_ps(x, _mm_mul_ps(n, _mm_set1_ps(0.693359375f)));
  r = _mm_add_ps(r, _mm_mul_ps(n, _mm_set1_ps(2.12194440e-4f)));
  __m128 p = _mm_set1_ps(1.0f / 5040);
  for (const float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    p = _mm_add_ps(_mm_mul_ps(p, r), _mm_set1_ps(c));
  const __m128i power =
      _mm_add_epi32(_mm_slli_epi32(_mm_castps_si128(shifted), 23), _mm_set1_epi32(0x3f800000));
  return _mm_and_ps(_mm_mul_ps(p, _mm_castsi128_ps(power)), kept);
}

// How weights of a row are formed: of the row's largest logit and 1/temperature.
struct WeightScale {
  WeightScale(float largest, float temperature);
  __m128 of(__m128 logits) const {
    return exp4(_mm_mul_ps(_mm_sub_ps(logits, _mm_set1_ps(largest)), _mm_set1_ps(inverse)));
  }
  float largest;
  float inverse;  // finite
};

// out[i] = the weight of logits[i]; logits, out: [n].
void row_weights(std::span<const float> logits, WeightScale scale, std::span<float> out);
float weight(float logit, WeightScale scale);

// Divides by the sum, which is taken in a fixed order. weights: >= 0, not all 0.
void normalise(std::span<float> weights);

// Sum of the weights of finite or -inf logits, in a fixed order.
double sum_weights(std::span<const float> logits, WeightScale scale);

// Weights as integers, in units of 2^-40 of the largest one's: their sums are the same in any
// order. Fits for up to 2^23 tokens.
uint64_t mass(float logit, WeightScale scale);
void masses_of_4(__m128 logits, WeightScale scale, uint64_t masses[4]);
uint64_t sum_masses(std::span<const float> logits, WeightScale scale);

}  // namespace dspark::sample

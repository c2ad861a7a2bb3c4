#include "sample/draw.h"

#include <emmintrin.h>

#include <algorithm>

namespace dspark::sample {
namespace {

constexpr double kLog2E = 1.44269504088896338700;

// An upper bound of 2^y, at most 6 % above: a float's bits, read as an integer, run linearly from
// one power of two to the next, as the chord of 2^y does. Below 2^-100 it stays there. y < 100.
__m128 power_of_two_bound(__m128 y) {
  y = _mm_max_ps(y, _mm_set1_ps(-100.0f));
  const __m128 bits = _mm_mul_ps(_mm_add_ps(y, _mm_set1_ps(127.0f)), _mm_set1_ps(8388608.0f));
  return _mm_castsi128_ps(_mm_cvttps_epi32(bits));
}

__m128 bound_of(__m128 logits, float largest, float slope, float offset) {
  const __m128 below = _mm_sub_ps(logits, _mm_set1_ps(largest));
  return power_of_two_bound(_mm_add_ps(_mm_mul_ps(below, _mm_set1_ps(slope)), _mm_set1_ps(offset)));
}

}  // namespace

Draw::Draw(NoiseRow noise, float largest, int32_t top, float temperature, double least_scaled,
           bool with_lead)
    : noise_(noise),
      largest_(largest),
      temperature_(temperature),
      least_scaled_(least_scaled),
      // A smaller slope than the true one only loosens the bound.
      slope_(static_cast<float>(std::min(kLog2E / temperature, 1e30))),
      score_(gumbel_of(noise_.complement(top))),
      token_(top),
      with_lead_(with_lead),
      second_(score_ - kMostLead) {
  refuse_below(with_lead_ ? second_ : score_);
}

// A token of scaled logit s wins if s - log(-log u) > score, that is -log u < exp(s - score); and 1
// - u is less than -log u. The bound's exponent is that of 256 exp(s - score) with room for
// rounding: its terms are below 200 where it matters, so single precision is off by less than 1e-4.
void Draw::refuse_below(double score) { offset_ = static_cast<float>(8 + 0.01 - score * kLog2E); }

float Draw::bound(float logit) const {
  return _mm_cvtss_f32(bound_of(_mm_set1_ps(logit), largest_, slope_, offset_));
}

void Draw::offer(float logit, int32_t token, double complement) {
  if (complement * 256 > static_cast<double>(bound(logit))) return;
  const double scaled = (static_cast<double>(logit) - static_cast<double>(largest_)) / temperature_;
  if (scaled < least_scaled_) return;
  const double score = scaled + gumbel_of(complement);
  if (token == token_) return;  // the top token, offered already
  if (score > score_ || (score == score_ && token < token_)) {
    second_ = std::max(second_, score_);
    score_ = score;
    token_ = token;
  } else if (with_lead_ && score > second_) {
    second_ = score;
  } else {
    return;
  }
  refuse_below(with_lead_ ? second_ : score_);
}

void Draw::offer_all(std::span<const float> logits) {
  const auto count = static_cast<int32_t>(logits.size());
  const __m128i zero = _mm_setzero_si128();
  int32_t token = 0;
  for (; token + kHashTokens <= count; token += kHashTokens) {
    const float* row = logits.data() + token;
    const uint64_t bytes = noise_.top_bytes(token / kHashTokens);
    const __m128i words = _mm_unpacklo_epi8(_mm_cvtsi64_si128(static_cast<long long>(bytes)), zero);
    const __m128 low = _mm_cvtepi32_ps(_mm_unpacklo_epi16(words, zero));
    const __m128 high = _mm_cvtepi32_ps(_mm_unpackhi_epi16(words, zero));
    const int may_win =
        _mm_movemask_ps(_mm_cmple_ps(low, bound_of(_mm_loadu_ps(row), largest_, slope_, offset_))) |
        _mm_movemask_ps(
            _mm_cmple_ps(high, bound_of(_mm_loadu_ps(row + 4), largest_, slope_, offset_)))
            << 4;
    if (may_win == 0) continue;
    for (int i = 0; i < kHashTokens; ++i)
      if (may_win >> i & 1)
        offer(row[i], token + i, noise_.complement(token + i, bytes >> (8 * i) & 0xff));
  }
  for (; token < count; ++token)
    offer(logits[static_cast<size_t>(token)], token, noise_.complement(token));
}

void Draw::offer_kept(std::span<const OrderKey> kept) {
  for (const OrderKey key : kept)
    offer(key_logit(key), key_id(key), noise_.complement(key_id(key)));
}

}  // namespace dspark::sample

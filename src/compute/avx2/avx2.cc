#include "compute/avx2/avx2.h"

#include <immintrin.h>

namespace dspark::compute {
namespace {

// 16 virtual lanes in two registers.
struct F16L {
  __m256 a, b;
};
struct I16L {
  __m256i a, b;
};

constexpr float kInfinity = __builtin_inff();
constexpr int kQueryTile = 4;
constexpr int kScoreParts = 1;
constexpr int kValueWidth = 1;

inline F16L load(const float* at) { return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)}; }
inline void store(float* at, F16L v) {
  _mm256_storeu_ps(at, v.a);
  _mm256_storeu_ps(at + 8, v.b);
}
inline F16L set(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
// All ones in the first n lanes.
inline I16L first(int n) {
  const __m256i count = _mm256_set1_epi32(n);
  return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
inline F16L load_first(const float* at, int n) {
  if (n == 16) return load(at);
  const I16L m = first(n);
  return {_mm256_maskload_ps(at, m.a), _mm256_maskload_ps(at + 8, m.b)};
}
inline void store_first(float* at, F16L v, int n) {
  if (n == 16) return store(at, v);
  const I16L m = first(n);
  _mm256_maskstore_ps(at, m.a, v.a);
  _mm256_maskstore_ps(at + 8, m.b, v.b);
}
inline F16L add(F16L x, F16L y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F16L sub(F16L x, F16L y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F16L mul(F16L x, F16L y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F16L div(F16L x, F16L y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline F16L max(F16L x, F16L y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline F16L fma(F16L x, F16L y, F16L z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline F16L fms(F16L x, F16L y, F16L z) {
  return {_mm256_fmsub_ps(x.a, y.a, z.a), _mm256_fmsub_ps(x.b, y.b, z.b)};
}
inline F16L negate(F16L v) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(v.a, sign), _mm256_xor_ps(v.b, sign)};
}
inline void prefetch(const void* at) { _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T1); }
inline float first_lane(F16L v) { return _mm256_cvtss_f32(v.a); }
inline float square_root(float v) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(v))); }

inline __m256 widen_8(const uint16_t* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
inline F16L widen(const uint16_t* at) { return {widen_8(at), widen_8(at + 8)}; }
inline F16L widen(const float* at) { return load(at); }
inline float widen_one(const uint16_t* at) { return _cvtsh_ss(*at); }
inline float widen_one(const float* at) { return *at; }
inline void narrow_store(uint16_t* at, F16L v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at + 8),
                   _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
}

inline __m256 power_8(__m256 shifted) {
  const __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f800000)));
}
inline F16L power_of_two(F16L shifted) { return {power_8(shifted.a), power_8(shifted.b)}; }
inline __m256 exp_select_8(__m256 x, __m256 inside) {
  const __m256 below = _mm256_cmp_ps(x, _mm256_set1_ps(-87.33f), _CMP_LT_OQ);
  const __m256 above = _mm256_cmp_ps(x, _mm256_set1_ps(88.02f), _CMP_GT_OQ);
  return _mm256_blendv_ps(_mm256_blendv_ps(inside, _mm256_setzero_ps(), below),
                          _mm256_set1_ps(kInfinity), above);
}
inline F16L exp_select(F16L x, F16L inside) {
  return {exp_select_8(x.a, inside.a), exp_select_8(x.b, inside.b)};
}
inline F16L keep_first(F16L v, int n, float other) {
  const I16L m = first(n);
  const __m256 o = _mm256_set1_ps(other);
  return {_mm256_blendv_ps(o, v.a, _mm256_castsi256_ps(m.a)),
          _mm256_blendv_ps(o, v.b, _mm256_castsi256_ps(m.b))};
}
inline F16L drop_first(F16L v, int n, float other) {
  const I16L m = first(n);
  const __m256 o = _mm256_set1_ps(other);
  return {_mm256_blendv_ps(v.a, o, _mm256_castsi256_ps(m.a)),
          _mm256_blendv_ps(v.b, o, _mm256_castsi256_ps(m.b))};
}

// Final trees: lanes i + 8, i + 4, i + 2, i + 1.
inline float sum_lanes(F16L v) {
  const __m256 s = _mm256_add_ps(v.a, v.b);
  const __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  const __m128 u = _mm_add_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_add_ss(u, _mm_shuffle_ps(u, u, 1)));
}
inline float max_lanes(F16L v) {
  const __m256 s = _mm256_max_ps(v.a, v.b);
  const __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  const __m128 u = _mm_max_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_max_ss(u, _mm_shuffle_ps(u, u, 1)));
}
inline float max_magnitude(F16L x, F16L y) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  const auto magnitude = [mask](__m256 v) {
    return _mm256_and_si256(_mm256_castps_si256(v), mask);
  };
  const __m256i m = _mm256_max_epu32(_mm256_max_epu32(magnitude(x.a), magnitude(x.b)),
                                     _mm256_max_epu32(magnitude(y.a), magnitude(y.b)));
  __m128i t = _mm_max_epu32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
  t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0x4e));
  t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(t));
}
inline I16L zero_integers() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline __m256i round_8(__m256 v) {
  const __m256i q = _mm256_cvtps_epi32(v);
  return _mm256_max_epi32(_mm256_min_epi32(q, _mm256_set1_epi32(127)), _mm256_set1_epi32(-127));
}
inline I16L round_clamped(F16L v) { return {round_8(v.a), round_8(v.b)}; }
inline void store_bytes(int8_t* at, I16L v) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v.a, v.b), 0xd8);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(at),
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
inline int sum_integers(I16L v) {
  const __m256i s = _mm256_add_epi32(v.a, v.b);
  __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
  t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
  t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1));
  return _mm_cvtsi128_si32(t);
}

#include "compute/lanes_body.inc"

}  // namespace

const Kernels* avx2_kernels() {
  static constexpr Kernels table = table_of("avx2", avx2_matmul);
  return &table;
}

}  // namespace dspark::compute

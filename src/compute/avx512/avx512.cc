#include "compute/avx512/avx512.h"

#include <immintrin.h>

namespace dspark::compute {
namespace {

using F16L = __m512;
using I16L = __m512i;

constexpr float kInfinity = __builtin_inff();
constexpr int kQueryTile =
    6;  // 6 queries x 4 vectors of sums + 4 of keys or values: 28 of 32 registers
constexpr int kScoreParts = 4;
constexpr int kValueWidth = 4;

inline __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
inline F16L load(const float* at) { return _mm512_loadu_ps(at); }
inline F16L load_first(const float* at, int n) { return _mm512_maskz_loadu_ps(first(n), at); }
inline void store(float* at, F16L v) { _mm512_storeu_ps(at, v); }
inline void store_first(float* at, F16L v, int n) { _mm512_mask_storeu_ps(at, first(n), v); }
inline F16L set(float v) { return _mm512_set1_ps(v); }
inline F16L add(F16L a, F16L b) { return _mm512_add_ps(a, b); }
inline F16L sub(F16L a, F16L b) { return _mm512_sub_ps(a, b); }
inline F16L mul(F16L a, F16L b) { return _mm512_mul_ps(a, b); }
inline F16L div(F16L a, F16L b) { return _mm512_div_ps(a, b); }
inline F16L fma(F16L a, F16L b, F16L c) { return _mm512_fmadd_ps(a, b, c); }
inline F16L fms(F16L a, F16L b, F16L c) { return _mm512_fmsub_ps(a, b, c); }
inline F16L max(F16L a, F16L b) { return _mm512_max_ps(a, b); }
inline F16L negate(F16L v) { return _mm512_xor_ps(v, set(-0.0f)); }
inline void prefetch(const void* at) { _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T1); }
inline float first_lane(F16L v) { return _mm512_cvtss_f32(v); }
inline float square_root(float v) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(v))); }

inline F16L widen(const uint16_t* at) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
inline F16L widen(const float* at) { return load(at); }
inline float widen_one(const uint16_t* at) { return _cvtsh_ss(*at); }
inline float widen_one(const float* at) { return *at; }
inline void narrow_store(uint16_t* at, F16L v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

// 2^n from the shifted sum whose low bits are n.
inline F16L power_of_two(F16L shifted) {
  const __m512i bits = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3f800000)));
}
// `inside`, 0 below the range of exp and +inf above.
inline F16L exp_select(F16L x, F16L inside) {
  const __mmask16 below = _mm512_cmp_ps_mask(x, set(-87.33f), _CMP_LT_OQ);
  const __mmask16 above = _mm512_cmp_ps_mask(x, set(88.02f), _CMP_GT_OQ);
  return _mm512_mask_mov_ps(_mm512_mask_mov_ps(inside, below, set(0.0f)), above, set(kInfinity));
}
inline F16L keep_first(F16L v, int n, float other) {
  return _mm512_mask_mov_ps(set(other), first(n), v);
}
inline F16L drop_first(F16L v, int n, float other) {
  return _mm512_mask_mov_ps(v, first(n), set(other));
}

// Final trees: lanes i + 8, i + 4, i + 2, i + 1.
inline __m256 upper(F16L v) { return _mm512_extractf32x8_ps(v, 1); }
inline float sum_lanes(F16L v) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), upper(v));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
inline float max_lanes(F16L v) { return _mm512_reduce_max_ps(v); }

inline float max_magnitude(F16L a, F16L b) {
  const __m512i mask = _mm512_set1_epi32(0x7fffffff);
  const __m512i m = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), mask),
                                     _mm512_and_si512(_mm512_castps_si512(b), mask));
  return _mm_cvtss_f32(
      _mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(_mm512_reduce_max_epu32(m)))));
}
inline I16L zero_integers() { return _mm512_setzero_si512(); }
inline I16L round_clamped(F16L v) {
  const __m512i q = _mm512_cvtps_epi32(v);
  return _mm512_max_epi32(_mm512_min_epi32(q, _mm512_set1_epi32(127)), _mm512_set1_epi32(-127));
}
inline void store_bytes(int8_t* at, I16L v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_cvtepi32_epi8(v));
}
inline int sum_integers(I16L v) { return _mm512_reduce_add_epi32(v); }

#include "compute/lanes_body.inc"

}  // namespace

const Kernels* avx512_vnni_kernels() {
  static constexpr Kernels table = table_of("avx512", avx512_vnni_matmul);
  return &table;
}

const Kernels* avx512_bw_kernels() {
  static constexpr Kernels table = table_of("avx512bw", avx512_bw_matmul);
  return &table;
}

}  // namespace dspark::compute

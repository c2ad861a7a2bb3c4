#include <immintrin.h>

#include "compute/avx512/avx512.h"

namespace dspark::compute {
namespace {

// The same as VNNI's instruction by widening to 16 bits: no intermediate can saturate.
inline __m512i dot4(__m512i acc, __m512i codes, __m512i q) {
  const __m512i even = _mm512_madd_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(0xff)),
                                         _mm512_srai_epi16(_mm512_slli_epi16(q, 8), 8));
  const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(codes, 8), _mm512_srai_epi16(q, 8));
  return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
}

#include "compute/avx512/matmul_body.inc"

}  // namespace

void avx512_bw_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                      int64_t tile_end, float* out, int64_t out_stride) {
  matmul(w, x, tile_begin, tile_end, out, out_stride);
}

}  // namespace dspark::compute

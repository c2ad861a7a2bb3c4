#include <immintrin.h>

#include "compute/avx512/avx512.h"

namespace dspark::compute {
namespace {

// acc + dot products of 4 unsigned by 4 signed bytes in each 32-bit lane.
inline __m512i dot4(__m512i acc, __m512i codes, __m512i q) {
  return _mm512_dpbusd_epi32(acc, codes, q);
}

#include "compute/avx512/matmul_body.inc"

}  // namespace

void avx512_vnni_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                        int64_t tile_end, float* out, int64_t out_stride) {
  matmul(w, x, tile_begin, tile_end, out, out_stride);
}

}  // namespace dspark::compute

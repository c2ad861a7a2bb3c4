// The two matrix products of the AVX-512 tables: with VNNI, and without.
#pragma once

#include <cstdint>

#include "compute/kernels.h"

namespace dspark::compute {

void avx512_vnni_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                        int64_t tile_end, float* out, int64_t out_stride);
void avx512_bw_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                      int64_t tile_end, float* out, int64_t out_stride);

}  // namespace dspark::compute

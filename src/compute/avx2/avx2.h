#pragma once

#include <cstdint>

#include "compute/kernels.h"

namespace dspark::compute {

void avx2_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                 int64_t tile_end, float* out, int64_t out_stride);

}  // namespace dspark::compute

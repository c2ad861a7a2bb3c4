// The definition of every kernel, in plain C++.
#pragma once

#include <cstdint>

#include "compute/kernels.h"

namespace dspark::compute::ref {

// e^x, relative error below 2e-7: 0 below -87.33, +inf above 88.02.
float exp_f32(float x);

// e^x - 1 for |x| <= 40, relative error below 5e-7.
float exp_minus_one_f32(float x);
// Relative error below 1e-6.
float tanh_f32(float x);

void matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin, int64_t tile_end,
            float* out, int64_t out_stride);
void attend_block_f16(const float* const* queries, int n, int64_t head_dim, const void* keys,
                      const void* values, const int* begins, const int* ends, float scale,
                      const void* next, AttentionState* out);
void attend_block_f32(const float* const* queries, int n, int64_t head_dim, const void* keys,
                      const void* values, const int* begins, const int* ends, float scale,
                      const void* next, AttentionState* out);
void attend_merge(AttentionState* totals, const AttentionState* parts, int n, int64_t head_dim);
void attend_finish(const AttentionState& total, int64_t head_dim, float* out);

// The fixed final tree of 16 lanes: i + 8, i + 4, i + 2, i + 1.
float sum_lanes(const float (&lanes)[16]);

}  // namespace dspark::compute::ref

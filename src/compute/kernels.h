// The kernel table: what an instruction set must provide. compute/ref is the definition in plain
// C++; the others must give the same bits (tests/kernels compare with ==). docs/decisions.md has
// the reasons.
#pragma once

#include <cstdint>

#include "compute/activations.h"
#include "compute/packed_matrix.h"

namespace dspark::compute {

inline constexpr int kAttentionBlock = 64;  // absolute positions of one partial result
inline constexpr int kMaxHeadDim = 512;
inline constexpr float kGeluLinear = 1.59576912f;   // 2 sqrt(2/pi)
inline constexpr float kGeluCubic = 0.0713548163f;  // 0.044715 of it

// Attention of one query over one block of positions, or over all blocks so far.
struct AttentionState {
  float max;      // of the scores; -inf when nothing was seen
  float sum;      // of exp(score - max)
  float* values;  // [head_dim], weighted by exp(score - max)
};

using AttendBlock = void (*)(const float* const* queries, int n, int64_t head_dim, const void* keys,
                             const void* values, const int* begins, const int* ends, float scale,
                             const void* next, AttentionState* out);

struct Kernels {
  const char* name;

  // out[row * out_stride + o] = sum over columns, for every row of x and all outputs o of the tiles
  // [tile_begin, tile_end). Writes whole tiles: out's rows are padded to a multiple of 16.
  void (*matmul)(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                 int64_t tile_end, float* out, int64_t out_stride);

  // One row of 32 * groups floats; group g goes to out[g * out_stride]. False when a value is not
  // finite.
  bool (*quantise)(const float* x, int64_t groups, ActivationGroup* out, int64_t out_stride);

  // out = x / sqrt(mean(x^2) + eps) * weight, [n]. In place allowed.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out);

  // Rotates pairs (x[i], x[i + pairs]) by the angle with cosine[i], sine[i].
  void (*rotate)(float* x, const float* cosine, const float* sine, int64_t pairs);

  // out = gate * sigmoid(gate) * up, [n]. In place allowed.
  void (*silu_multiply)(const float* gate, const float* up, int64_t n, float* out);

  // Sum of a[i] * b[i], [n].
  float (*dot)(const float* a, const float* b, int64_t n);

  // out = gelu(gate) * up, gelu in its tanh form, [n]. In place allowed.
  void (*gelu_multiply)(const float* gate, const float* up, int64_t n, float* out);

  // x = cap * tanh(x / cap), [n].
  void (*soft_cap)(float* x, float cap, int64_t n);

  // x += y, [n].
  void (*add)(float* x, const float* y, int64_t n);

  // To float16, round to nearest even, [n].
  void (*narrow)(const float* x, int64_t n, uint16_t* out);

  // n queries against one block of 64 positions of one key/value head.
  //   queries[i]  [head_dim]
  //   keys        [4][head_dim][16]: position 16 p + lane of the block is [p][:][lane]
  //   values      [64][head_dim]
  //   begins[i], ends[i]  query i sees positions [begins[i], ends[i]) of the block, at least one;
  //               begins may be null: all begin at 0
  //   next        keys of the block that will be read next, its values behind them: a hint, or null
  // Scores are scale * (fma chain over ascending dimensions). out[i] is overwritten. One kernel for
  // each type of the cache's cells.
  AttendBlock attend_block_f16, attend_block_f32;

  // totals[i] := totals[i] merged with parts[i] of the next block, for n queries.
  void (*attend_merge)(AttentionState* totals, const AttentionState* parts, int n,
                       int64_t head_dim);

  // out = values / sum, [head_dim].
  void (*attend_finish)(const AttentionState& total, int64_t head_dim, float* out);
};

const Kernels* ref_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_bw_kernels();
const Kernels* avx512_vnni_kernels();

}  // namespace dspark::compute

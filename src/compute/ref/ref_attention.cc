#include <cmath>
#include <limits>

#include "compute/ref/ref.h"
#include "tensor/tensor.h"

namespace dspark::compute::ref {

namespace {

float widen(uint16_t cell) { return f16_to_f32(cell); }
float widen(float cell) { return cell; }

template <class Cell>
void attend(const float* const* queries, int n, int64_t head_dim, const Cell* keys,
            const Cell* values, const int* begins, const int* ends, float scale,
            AttentionState* out) {
  for (int i = 0; i < n; ++i) {
    const int begin = begins == nullptr ? 0 : begins[i];
    float weight[kAttentionBlock];
    float largest = -std::numeric_limits<float>::infinity();
    for (int p = begin; p < ends[i]; ++p) {
      const Cell* key = keys + (p / 16) * head_dim * 16 + p % 16;
      float score = 0;
      for (int64_t d = 0; d < head_dim; ++d)
        score = std::fma(queries[i][d], widen(key[d * 16]), score);
      weight[p] = score * scale;
      if (weight[p] > largest) largest = weight[p];
    }
    float lanes[16] = {};
    for (int p = begin; p < ends[i]; ++p) {
      weight[p] = exp_f32(weight[p] - largest);
      lanes[p % 16] = lanes[p % 16] + weight[p];
    }
    out[i].max = largest;
    out[i].sum = sum_lanes(lanes);
    for (int64_t d = 0; d < head_dim; ++d) {
      float sum = 0;
      for (int p = begin; p < ends[i]; ++p)
        sum = std::fma(weight[p], widen(values[p * head_dim + d]), sum);
      out[i].values[d] = sum;
    }
  }
}

}  // namespace

void attend_block_f16(const float* const* queries, int n, int64_t head_dim, const void* keys,
                      const void* values, const int* begins, const int* ends, float scale,
                      const void*, AttentionState* out) {
  attend(queries, n, head_dim, static_cast<const uint16_t*>(keys),
         static_cast<const uint16_t*>(values), begins, ends, scale, out);
}

void attend_block_f32(const float* const* queries, int n, int64_t head_dim, const void* keys,
                      const void* values, const int* begins, const int* ends, float scale,
                      const void*, AttentionState* out) {
  attend(queries, n, head_dim, static_cast<const float*>(keys), static_cast<const float*>(values),
         begins, ends, scale, out);
}

void attend_merge(AttentionState* totals, const AttentionState* parts, int n, int64_t head_dim) {
  for (int i = 0; i < n; ++i) {
    AttentionState& total = totals[i];
    const AttentionState& part = parts[i];
    const float largest = total.max > part.max ? total.max : part.max;
    const float keep = exp_f32(total.max - largest), take = exp_f32(part.max - largest);
    total.max = largest;
    total.sum = std::fma(total.sum, keep, part.sum * take);
    for (int64_t d = 0; d < head_dim; ++d)
      total.values[d] = std::fma(total.values[d], keep, part.values[d] * take);
  }
}

void attend_finish(const AttentionState& total, int64_t head_dim, float* out) {
  for (int64_t d = 0; d < head_dim; ++d) out[d] = total.values[d] / total.sum;
}

}  // namespace dspark::compute::ref

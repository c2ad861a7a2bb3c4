#include "draft/heads.h"

#include <xmmintrin.h>

#include <algorithm>

namespace dspark::draft {
namespace {

constexpr int kLineFloats = 16;  // of a cache line

float sigmoid(float x) { return static_cast<float>(1 / (1 + real_exp(-static_cast<double>(x)))); }
float tanh_of(float x) {
  return static_cast<float>(1 - 2 / (1 + real_exp(2 * static_cast<double>(x))));
}

}  // namespace

SequentialHeads::SequentialHeads(const DrafterModel& model, const compute::Kernels& kernels)
    : model_(model),
      kernels_(kernels),
      hidden_(model.decoder.spec.hidden),
      rank_(model.config.markov_rank),
      embedding_(static_cast<size_t>(rank_ + compute::kTileRows)),
      state_(static_cast<size_t>(rank_)),
      input_(static_cast<size_t>(hidden_ + 2 * rank_)),
      factor_(static_cast<size_t>(rank_)) {}

void SequentialHeads::start() { std::fill(state_.begin(), state_.end(), 0.0f); }

float SequentialHeads::dot(const DrafterModel::Dense& matrix, int64_t row) const {
  return kernels_.dot(matrix.row(row), input_.data(), matrix.columns);
}

void SequentialHeads::step(const float* h, int32_t previous) {
  const DrafterConfig& config = model_.config;
  const auto rank = static_cast<size_t>(rank_);
  if (rank > 0) compute::unpack_row(model_.markov_w1, previous, embedding_.data());
  const float* e = embedding_.data();
  float* input = input_.data();

  // [h ; e], what the confidence head and the gate read.
  std::copy_n(h, hidden_, input);
  std::copy_n(e, rank, input + hidden_);
  if (config.confidence_head) confidence_ = dot(model_.confidence, 0) + model_.confidence_bias[0];
  switch (config.markov_head) {
    case MarkovHead::kNone:
      break;
    case MarkovHead::kVanilla:
      std::copy_n(e, rank, factor_.data());
      break;
    case MarkovHead::kGated:
      for (size_t i = 0; i < rank; ++i)
        factor_[i] =
            sigmoid(dot(model_.gate, static_cast<int64_t>(i)) + model_.gate_bias[i]) * e[i];
      break;
    case MarkovHead::kRnn: {
      // [state ; e ; h] to gate, candidate and output; the output is of the old state.
      std::copy_n(state_.data(), rank, input);
      std::copy_n(e, rank, input + rank);
      std::copy_n(h, hidden_, input + 2 * rank);
      const auto part = [&](size_t which, size_t i) {
        const size_t row = which * rank + i;
        return dot(model_.gate, static_cast<int64_t>(row)) + model_.gate_bias[row];
      };
      for (size_t i = 0; i < rank; ++i) {
        const float gate = sigmoid(part(0, i)), candidate = tanh_of(part(1, i));
        factor_[i] = tanh_of(part(2, i));
        state_[i] = gate * state_[i] + (1 - gate) * candidate;
      }
      break;
    }
  }
}

void SequentialHeads::ask_for(std::span<const int32_t> indices) const {
  for (const int32_t row : indices)
    for (int64_t i = 0; i < rank_; i += kLineFloats)
      _mm_prefetch(reinterpret_cast<const char*>(model_.markov_w2.row(row) + i), _MM_HINT_T1);
}

void SequentialHeads::correct(std::span<const int32_t> indices, std::span<float> logits) const {
  if (rank_ == 0) return;
  for (size_t i = 0; i < logits.size(); ++i) {
    const int64_t row = indices.empty() ? static_cast<int64_t>(i) : indices[i];
    logits[i] += kernels_.dot(model_.markov_w2.row(row), factor_.data(), rank_);
  }
}

}  // namespace dspark::draft

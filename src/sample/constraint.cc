// Where a grammar says which tokens may come.
#include <algorithm>
#include <limits>

#include "sample/sample.h"

namespace dspark::sample {

Result<std::span<const uint64_t>> Sampler::allowed_bits() {
  if (constraint_ == nullptr) return std::span<const uint64_t>();
  DSPARK_TRY(const std::span<const uint64_t> bits, constraint_->allowed());
  CHECK(bits.size() * 64 >= static_cast<size_t>(vocab_size_), "{} words for {} tokens", bits.size(),
        vocab_size_);
  return bits;
}

bool Sampler::allows_any(std::span<const int32_t> ids) {
  if (constraint_ == nullptr) return true;
  const auto bits = allowed_bits();
  if (!bits.ok()) return false;
  return ids.empty() || std::any_of(ids.begin(), ids.end(), [&](int32_t id) {
           return bits.value()[static_cast<size_t>(id) / 64] >> (id % 64) & 1;
         });
}

Result<std::span<const float>> Sampler::allowed(std::span<const float> logits) {
  if (constraint_ == nullptr) return logits;
  DSPARK_TRY(const std::span<const uint64_t> bits, allowed_bits());
  allowed_.assign(logits.size(), -std::numeric_limits<float>::infinity());
  for (size_t word = 0; word < bits.size(); ++word)
    for (uint64_t rest = bits[word]; rest != 0; rest &= rest - 1) {
      const size_t id = word * 64 + static_cast<size_t>(std::countr_zero(rest));
      allowed_[id] = logits[id];
    }
  return std::span<const float>(allowed_);
}

}  // namespace dspark::sample

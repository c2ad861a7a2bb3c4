// Private to the room sample: the order of likelihood (larger logit first, then smaller id) as one
// integer, and the filters that keep a prefix of it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dspark::sample {

// Larger for the likelier token; -0 counts as 0. No NaN.
using OrderKey = uint64_t;

inline OrderKey order_key(float logit, int32_t id) {
  const uint32_t bits = std::bit_cast<uint32_t>(logit + 0.0f);
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return (static_cast<uint64_t>(ordered) << 32) | static_cast<uint32_t>(~id);
}
inline int32_t key_id(OrderKey key) { return static_cast<int32_t>(~static_cast<uint32_t>(key)); }
inline float key_logit(OrderKey key) {
  const uint32_t ordered = static_cast<uint32_t>(key >> 32);
  return std::bit_cast<float>(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

// kept = keys of the k likeliest tokens, unsorted; all of them when there are fewer. largest: of
// logits.
void keep_top_k(std::span<const float> logits, float largest, size_t k,
                std::vector<OrderKey>& kept);

// kept = keys of the smallest set of the likeliest tokens that holds at least top_p of the mass of
// all logits, unsorted. temperature > 0; top_p in (0, 1].
void keep_top_p(std::span<const float> logits, float largest, float temperature, float top_p,
                std::vector<OrderKey>& kept);

// The same among the tokens already in kept.
void shrink_to_top_p(float largest, float temperature, float top_p, std::vector<OrderKey>& kept);

}  // namespace dspark::sample

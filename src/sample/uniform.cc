// Uniform variates by purpose, and the draw from explicit probabilities with one of them.
#include <algorithm>

#include "sample/noise.h"
#include "sample/sample.h"

namespace dspark::sample {

double uniform(uint64_t seed, int64_t anchor, int slot, Purpose purpose) {
  CHECK(slot >= 0, "slot {}", slot);
  // Words of another start than NoiseRow's, mixed after each part of the key.
  uint64_t word = mix(seed ^ 0xbb67ae8584caa73bu);
  word = mix(word + static_cast<uint64_t>(anchor) * 0x9e3779b97f4a7c15u);
  word = mix(word + (static_cast<uint64_t>(slot) * 4 + static_cast<uint64_t>(purpose) + 1) *
                        0x9e3779b97f4a7c15u);
  return static_cast<double>(word >> 11) * 0x1p-53;
}

int32_t draw(std::span<const float> weights, double variate) {
  // By blocks, so that only one of them is looked at token by token.
  constexpr size_t kBlock = 256;
  const auto sum_of = [](std::span<const float> block) {
    double lanes[4] = {};
    for (size_t i = 0; i < block.size(); ++i) lanes[i % 4] += static_cast<double>(block[i]);
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  };
  const auto block_at = [&](size_t start) {
    return weights.subspan(start, std::min(kBlock, weights.size() - start));
  };
  double total = 0;
  for (size_t start = 0; start < weights.size(); start += kBlock) total += sum_of(block_at(start));
  CHECK(total > 0, "no weight above 0");

  // Rounding may leave a little over: it goes to the last token of weight, here and below.
  const double wanted = variate * total;
  double reached = 0, before = 0;
  size_t chosen = 0;
  for (size_t start = 0; start < weights.size() && reached <= wanted; start += kBlock) {
    const double sum = sum_of(block_at(start));
    if (sum == 0) continue;
    chosen = start;
    before = reached;
    reached += sum;
  }
  int32_t token = -1;
  for (size_t i = chosen; i < chosen + block_at(chosen).size(); ++i) {
    if (weights[i] == 0) continue;
    token = static_cast<int32_t>(i);
    before += static_cast<double>(weights[i]);
    if (before > wanted) break;
  }
  return token;
}

}  // namespace dspark::sample

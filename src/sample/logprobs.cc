#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "sample/order.h"
#include "sample/sample.h"
#include "sample/weights.h"

namespace dspark::sample {

double log_sum_exp(std::span<const float> logits) {
  const int32_t top = argmax(logits);
  if (top < 0) return std::numeric_limits<double>::quiet_NaN();
  const float largest = logits[static_cast<size_t>(top)];
  return static_cast<double>(largest) + real_log(sum_weights(logits, WeightScale(largest, 1.0f)));
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int32_t chosen, int n) {
  const int32_t top = argmax(logits);
  CHECK(top >= 0, "no largest logit");
  CHECK(chosen >= 0 && static_cast<size_t>(chosen) < logits.size() && n >= 0,
        "token {} of a vocabulary of {}, {} tokens", chosen, logits.size(), n);
  std::vector<OrderKey> kept;
  keep_top_k(logits, logits[static_cast<size_t>(top)], static_cast<size_t>(n), kept);
  std::sort(kept.begin(), kept.end(), std::greater<>());

  const double total = log_sum_exp(logits);
  const auto logprob = [&](int32_t id) {
    const double logit = static_cast<double>(logits[static_cast<size_t>(id)]);
    return TokenLogprob{id, static_cast<float>(logit - total)};
  };
  std::vector<TokenLogprob> result{logprob(chosen)};
  for (const OrderKey key : kept)  // not those that can't come
    if (!std::isinf(key_logit(key))) result.push_back(logprob(key_id(key)));
  return result;
}

}  // namespace dspark::sample

// Rows that have logits for a few tokens only: a drafter's candidates.
#include <algorithm>
#include <cmath>
#include <functional>

#include "sample/draw.h"
#include "sample/order.h"
#include "sample/sample.h"
#include "sample/weights.h"

namespace dspark::sample {

// The operations of the dense adjusted(), in its order.
float Sampler::adjusted(int32_t id, float logit) const {
  const auto at = static_cast<size_t>(id);
  const int32_t count = counts_.empty() ? 0 : counts_[at];
  if (count > 0 || (!in_prompt_.empty() && in_prompt_[at] != 0)) {
    if (params_.repeat_penalty != 1)
      logit = logit > 0 ? logit / params_.repeat_penalty : logit * params_.repeat_penalty;
  }
  if (count > 0) {
    logit -= params_.presence_penalty;
    logit -= params_.frequency_penalty * static_cast<float>(count);
  }
  for (const auto& [biased, bias] : params_.logit_bias)
    if (biased == id) logit += bias;
  return logit;
}

Result<uint64_t> Sampler::filter(std::span<const int32_t> ids, std::span<const float> logits) {
  CHECK(!ids.empty() && ids.size() == logits.size(), "{} logits of {} tokens", logits.size(),
        ids.size());
  DSPARK_TRY(const std::span<const uint64_t> bits, allowed_bits());
  kept_.clear();
  OrderKey top = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<size_t>(ids[i]);
    if (!bits.empty() && !(bits[id / 64] >> (id % 64) & 1)) continue;
    const float logit = adjusted(ids[i], logits[i]);
    if (!(logit <= std::numeric_limits<float>::max()))
      return fail("the logit of token {} is {}, expected a number below infinity", ids[i], logit);
    kept_.push_back(order_key(logit, ids[i]));
    top = std::max(top, kept_.back());
  }
  const float largest = key_logit(top);
  if (kept_.empty() || std::isinf(largest))
    return fail("every token is ruled out: all logits are -inf");
  if (params_.temperature == 0 || params_.top_k == 1) {
    kept_.assign(1, top);
    return top;
  }
  const auto most = static_cast<size_t>(params_.top_k);
  if (most > 0 && most < kept_.size()) {
    std::nth_element(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(most), kept_.end(),
                     std::greater<>());
    kept_.resize(most);
  }
  if (params_.top_p < 1) shrink_to_top_p(largest, params_.temperature, params_.top_p, kept_);
  return top;
}

Result<int32_t> Sampler::choose(std::span<const int32_t> ids, std::span<const float> logits,
                                int64_t position, double* lead) {
  DSPARK_TRY(const OrderKey top, filter(ids, logits));
  if (lead != nullptr) *lead = kMostLead;
  if (kept_.size() == 1) return key_id(top);
  Draw draw(NoiseRow(params_.seed, position), key_logit(top), key_id(top), params_.temperature,
            least_scaled(), lead != nullptr);
  draw.offer_kept(kept_);
  if (lead != nullptr) *lead = draw.lead();
  return draw.token();
}

Status Sampler::distribution(std::span<const int32_t> ids, std::span<const float> logits,
                             std::span<float> probs) {
  CHECK(probs.size() == ids.size(), "{} probabilities of {} tokens", probs.size(), ids.size());
  DSPARK_TRY(const OrderKey top, filter(ids, logits));
  const float largest = key_logit(top);
  const double least = least_scaled();
  std::sort(kept_.begin(), kept_.end());
  for (size_t i = 0; i < ids.size(); ++i) {
    const float logit = adjusted(ids[i], logits[i]);
    const double below = static_cast<double>(logit) - static_cast<double>(largest);
    if (params_.temperature == 0) {
      probs[i] = ids[i] == key_id(top) ? 1.0f : 0.0f;
    } else {
      const bool kept = std::binary_search(kept_.begin(), kept_.end(), order_key(logit, ids[i])) &&
                        !(below / params_.temperature < least);
      probs[i] = kept ? weight(logit, WeightScale(largest, params_.temperature)) : 0.0f;
    }
  }
  normalise(probs);
  return {};
}

}  // namespace dspark::sample

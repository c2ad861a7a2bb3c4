// Private to the room sample: the draw itself, argmax of (logit - largest) / temperature + Gumbel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "sample/noise.h"
#include "sample/order.h"
#include "sample/sample.h"

namespace dspark::sample {

// Keeps the best token offered so far. The result is the plain definition's, whatever the order of
// offers; most tokens are refused before any logarithm, by bounds that err on the side of looking
// closer.
class Draw {
 public:
  // largest: the row's largest logit, that of token `top`, which is offered at once.
  // least_scaled: tokens with (logit - largest) / temperature below it are not drawn. with_lead:
  // lead() is asked for.
  Draw(NoiseRow noise, float largest, int32_t top, float temperature, double least_scaled,
       bool with_lead);

  void offer_all(std::span<const float> logits);  // by token id
  void offer_kept(std::span<const OrderKey> kept);
  int32_t token() const { return token_; }
  // By how much the token's score is above the next best, at most kMostLead.
  double lead() const { return std::min(score_ - second_, kMostLead); }

 private:
  // An upper bound of 256 times the 1 - u that a token of this logit needs to win.
  float bound(float logit) const;
  // complement: 1 - u of the token.
  void offer(float logit, int32_t token, double complement);
  void refuse_below(double score);

  NoiseRow noise_;
  float largest_;
  double temperature_;
  double least_scaled_;
  float slope_;   // log2(e) / temperature, finite
  float offset_;  // follows the score that tokens are refused below
  double score_;
  int32_t token_;
  bool with_lead_;
  double second_;  // with_lead: the next best score, or a bound that it is not above
};

}  // namespace dspark::sample

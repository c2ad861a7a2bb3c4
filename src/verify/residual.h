// Private to the room verify: the formulas of rejection (spec C.4) and block verification (spec F)
// for one slot.
#pragma once

#include <cstdint>
#include <span>

#include "verify/acceptance.h"

namespace dspark::verify {

// At or below it a residual is rounding, and the next token is drawn from p instead.
inline constexpr double kLeastResidual = 1e-8;

// q of a token: 0 where the draft vocabulary lacks it.
double probability(const DraftDistribution& q, int32_t id);

// p / q, with q at least 1e-8 as in the reference.
double likelihood_ratio(double p, double q);

// out = max(scale p - q, 0); returns its sum. p, out: [vocab]; scale in [0, 1].
double residual(double scale, std::span<const float> p, const DraftDistribution& q,
                std::span<float> out);

// The probability h that a block's slot of weight w is the cycle's last when no later one is.
// mass: the sum of the residual of the row after the slot, with scale w.
double block_threshold(double mass, double w);

}  // namespace dspark::verify

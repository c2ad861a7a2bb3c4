// The learning rate of each optimiser step (spec D.6).
#pragma once

#include <cstdint>

namespace dspark::train {

// Linear warm-up over warmup * total steps, then a cosine to 0, as torch's recursive form of it
// hands over from one to the other. step: 0-based, < total.
double learning_rate(double peak, double warmup, int64_t total, int64_t step);

}  // namespace dspark::train

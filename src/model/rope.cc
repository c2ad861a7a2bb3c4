#include <algorithm>

#include "model/spec.h"

namespace dspark::model {
namespace {

constexpr double kPi = 3.14159265358979323846;

double clamp01(double x) { return std::clamp(x, 0.0, 1.0); }

// YaRN (arXiv 2309.00071): below dimension `low` frequencies stay, above `high` they are divided by
// the factor.
void yarn_bounds(const Rope& rope, double* low, double* high) {
  const auto dimension = [&](double rotations) {
    return rope.dim * real_log(rope.original_context / (rotations * 2 * kPi)) /
           (2 * real_log(rope.theta));
  };
  const auto floor_to = [](double x) {
    return static_cast<double>(static_cast<int64_t>(x < 0 ? x - 1 : x));
  };
  *low = std::max(0.0, floor_to(dimension(rope.beta_fast)));
  *high = std::min(rope.dim - 1.0, -floor_to(-dimension(rope.beta_slow)));
  if (*low >= *high) *high = *low + 0.001;
}

// Llama 3's scaling: long waves divided by the factor, short ones kept, between them a blend.
double llama3_frequency(const Rope& rope, double frequency) {
  const double wave = 2 * kPi / frequency;
  if (wave < rope.original_context / rope.high_freq_factor) return frequency;
  if (wave > rope.original_context / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth = (rope.original_context / wave - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

std::vector<float> rope_frequencies(const Rope& rope, float* amplitude) {
  const int turning = rope.pairs > 0 ? rope.pairs : rope.dim / 2;
  std::vector<float> result(static_cast<size_t>(rope.dim / 2), 0.0f);
  *amplitude = 1;
  double low = 0, high = 1;
  if (rope.scaling == RopeScaling::kYarn) {
    yarn_bounds(rope, &low, &high);
    const double default_factor = rope.factor > 1 ? 0.1 * real_log(rope.factor) + 1 : 1;
    *amplitude =
        static_cast<float>(rope.attention_factor > 0 ? rope.attention_factor : default_factor);
  }
  for (int i = 0; i < turning; ++i) {
    double frequency = real_exp(-2.0 * i / rope.dim * real_log(rope.theta));
    switch (rope.scaling) {
      case RopeScaling::kNone:
        break;
      case RopeScaling::kLinear:
        frequency /= rope.factor;
        break;
      case RopeScaling::kLlama3:
        frequency = llama3_frequency(rope, frequency);
        break;
      case RopeScaling::kYarn: {
        const double interpolated = clamp01((i - low) / (high - low));
        frequency = frequency * (1 - interpolated) + frequency / rope.factor * interpolated;
      }
    }
    if (!rope.frequency_divisors.empty())
      frequency /= rope.frequency_divisors[static_cast<size_t>(i)];
    result[static_cast<size_t>(i)] = static_cast<float>(frequency);
  }
  return result;
}

}  // namespace dspark::model

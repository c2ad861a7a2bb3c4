// The scale-and-offset form of calibration: Fisher scoring on two numbers a slot.
#include <algorithm>

#include "verify/calibration_samples.h"

namespace dspark::verify {
namespace {

constexpr double kLeastScale = 0.02, kMostScale = 20, kMostOffset = 30;
constexpr int kMostSteps = 100, kMostHalvings = 30;

struct Line {
  double scale = 1, offset = 0;
};

// Mean cross-entropy of survival at the slot.
double loss_of(const SlotSamples& samples, Line line) {
  double sum = 0;
  for (size_t i = 0; i < samples.logit.size(); ++i) {
    const double s =
        clamp_prediction(samples.before[i] * sigmoid(line.scale * samples.logit[i] + line.offset));
    sum -= real_log(samples.stood[i] ? s : 1 - s);
  }
  return sum / static_cast<double>(samples.logit.size());
}

// The step to where the loss would be least if it were its quadratic model, whose curvature is the
// Fisher information: never negative, which the loss's own may be.
Line step_from(const SlotSamples& samples, Line line) {
  double g_scale = 0, g_offset = 0, h_scale = 0, h_both = 0, h_offset = 0;
  for (size_t i = 0; i < samples.logit.size(); ++i) {
    const double z = samples.logit[i];
    const double c = sigmoid(line.scale * z + line.offset);
    const double s = samples.before[i] * c;
    if (!(1 - c > 0)) continue;  // as flat as it gets
    // Of the loss by the line's value: (s - y) (1 - c) / (1 - s), of variance s (1 - c)^2 / (1 -
    // s).
    const double ratio = (1 - c) / (1 - s);
    const double slope = (s - (samples.stood[i] ? 1 : 0)) * ratio;
    const double weight = s * (1 - c) * ratio;
    g_scale += slope * z;
    g_offset += slope;
    h_scale += weight * z * z;
    h_both += weight * z;
    h_offset += weight;
  }
  // Where all logits are alike, one of many best lines.
  const double ridge = 1e-9 * (h_scale + h_offset) + 1e-12;
  h_scale += ridge;
  h_offset += ridge;
  const double determinant = h_scale * h_offset - h_both * h_both;
  Line step{(h_both * g_offset - h_offset * g_scale) / determinant,
            (h_both * g_scale - h_scale * g_offset) / determinant};
  // Against a bound of the scale, the best offset is still to be found.
  const double scale = std::clamp(line.scale + step.scale, kLeastScale, kMostScale);
  if (scale != line.scale + step.scale) {
    step.scale = scale - line.scale;
    step.offset = -(g_offset + h_both * step.scale) / h_offset;
  }
  return step;
}

Line moved(Line line, Line step, double by) {
  return {std::clamp(line.scale + by * step.scale, kLeastScale, kMostScale),
          std::clamp(line.offset + by * step.offset, -kMostOffset, kMostOffset)};
}

Line fitted_line(const SlotSamples& samples) {
  Line line;
  double loss = loss_of(samples, line);
  for (int i = 0; i < kMostSteps; ++i) {
    const Line step = step_from(samples, line);
    double by = 1, next_loss = loss;
    Line next = line;
    for (int halving = 0; halving < kMostHalvings; ++halving, by /= 2) {
      next = moved(line, step, by);
      next_loss = loss_of(samples, next);
      if (next_loss < loss) break;
    }
    if (!(next_loss < loss)) return line;
    const bool close = loss - next_loss < 1e-12 * loss;
    line = next;
    loss = next_loss;
    if (close) return line;
  }
  return line;
}

}  // namespace

Result<CalibrationFit> fit_scale_offset(std::span<const ObservedCycle> cycles, int slots) {
  return fit_slots(cycles, slots, true, [](const SlotSamples& samples) {
    const Line line = fitted_line(samples);
    // As a file will hold it, so that later slots are fitted to what the engine computes.
    return SlotFit{static_cast<double>(static_cast<float>(1 / line.scale)),
                   static_cast<double>(static_cast<float>(line.offset))};
  });
}

}  // namespace dspark::verify

// The scale-and-offset form of calibration: Fisher scoring on two numbers a slot, or three.
#include <algorithm>
#include <array>

#include "verify/calibration_samples.h"

namespace dspark::verify {
namespace {

constexpr double kLeastScale = 0.02, kMostScale = 20, kMost = 30;
constexpr int kMostSteps = 100, kMostHalvings = 30;

// Scale of the logit, offset, weight of the certainty.
using Line = std::array<double, 3>;
using Inputs = Line;  // what each of them is multiplied with

size_t numbers_of(const SlotSamples& samples) { return samples.certainty.empty() ? 2 : 3; }

Inputs inputs_of(const SlotSamples& samples, size_t i) {
  return {samples.logit[i], 1, samples.certainty.empty() ? 0 : samples.certainty[i]};
}

double confidence(const Line& line, const Inputs& x) {
  return sigmoid(line[0] * x[0] + line[1] * x[1] + line[2] * x[2]);
}

// Mean cross-entropy of survival at the slot.
double loss_of(const SlotSamples& samples, const Line& line) {
  double sum = 0;
  for (size_t i = 0; i < samples.logit.size(); ++i) {
    const double s = clamp_prediction(samples.before[i] * confidence(line, inputs_of(samples, i)));
    sum -= real_log(samples.stood[i] ? s : 1 - s);
  }
  return sum / static_cast<double>(samples.logit.size());
}

// A symmetric positive definite system.
struct System {
  std::array<Line, 3> matrix{};
  Line right{};

  // Of the unknowns [first, end); the others are 0.
  Line solved(size_t first, size_t end) const {
    std::array<Line, 3> m = matrix;
    Line x = right;
    for (size_t i = first; i < end; ++i)
      for (size_t j = i + 1; j < end; ++j) {
        const double by = m[j][i] / m[i][i];
        for (size_t k = i; k < end; ++k) m[j][k] -= by * m[i][k];
        x[j] -= by * x[i];
      }
    for (size_t i = end; i-- > first;) {
      for (size_t k = i + 1; k < end; ++k) x[i] -= m[i][k] * x[k];
      x[i] /= m[i][i];
    }
    std::fill_n(x.begin(), first, 0.0);
    std::fill(x.begin() + static_cast<std::ptrdiff_t>(end), x.end(), 0.0);
    return x;
  }
};

// The step to where the loss would be least if it were its quadratic model, whose curvature is the
// Fisher information: never negative, which the loss's own may be.
Line step_from(const SlotSamples& samples, const Line& line) {
  const size_t n = numbers_of(samples);
  System system;
  for (size_t i = 0; i < samples.logit.size(); ++i) {
    const Inputs x = inputs_of(samples, i);
    const double c = confidence(line, x), s = samples.before[i] * c;
    if (!(1 - c > 0)) continue;  // as flat as it gets
    // Of the loss by the line's value: (s - y) (1 - c) / (1 - s), of variance s (1 - c)^2 / (1 -
    // s).
    const double ratio = (1 - c) / (1 - s);
    const double slope = (s - (samples.stood[i] ? 1 : 0)) * ratio;
    const double weight = s * (1 - c) * ratio;
    for (size_t a = 0; a < n; ++a) {
      system.right[a] -= slope * x[a];
      for (size_t b = 0; b < n; ++b) system.matrix[a][b] += weight * x[a] * x[b];
    }
  }
  // Where all inputs are alike, one of many best lines.
  double trace = 0;
  for (size_t a = 0; a < n; ++a) trace += system.matrix[a][a];
  for (size_t a = 0; a < n; ++a) system.matrix[a][a] += 1e-9 * trace + 1e-12;
  Line step = system.solved(0, n);
  // Against a bound of the scale, the others' best is still to be found.
  const double scale = std::clamp(line[0] + step[0], kLeastScale, kMostScale);
  if (scale != line[0] + step[0]) {
    const double by = scale - line[0];
    for (size_t a = 1; a < n; ++a) system.right[a] -= system.matrix[a][0] * by;
    step = system.solved(1, n);
    step[0] = by;
  }
  return step;
}

Line moved(const Line& line, const Line& step, double by) {
  return {std::clamp(line[0] + by * step[0], kLeastScale, kMostScale),
          std::clamp(line[1] + by * step[1], -kMost, kMost),
          std::clamp(line[2] + by * step[2], -kMost, kMost)};
}

Line fitted_line(const SlotSamples& samples) {
  Line line{1, 0, 0};
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
    const auto stored = [](double value) { return static_cast<double>(static_cast<float>(value)); };
    return SlotFit{stored(1 / line[0]), stored(line[1]), stored(line[2])};
  });
}

}  // namespace dspark::verify

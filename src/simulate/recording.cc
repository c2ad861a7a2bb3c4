#include "simulate/recording.h"

#include <algorithm>
#include <random>

namespace dspark::simulate {
namespace {

// Of a kind: enough that chance does not show.
constexpr int kAnswers = 256, kCyclesOfAnswer = 256;

// Of mean m and variance spread * m * (1 - m).
double beta(double mean, double spread, std::mt19937_64& random) {
  if (spread <= 0) return mean;
  const double size = 1 / spread - 1;
  std::gamma_distribution<double> yes(mean * size), no((1 - mean) * size);
  const double a = yes(random), b = no(random);
  return a + b > 0 ? a / (a + b) : mean;
}

}  // namespace

void Recording::begin_answer(int tokens) {
  CHECK(tokens >= 1, "an answer of {} tokens", tokens);
  answers_.push_back({tokens});
}

void Recording::add(std::span<const double> confidence, int accepted, bool looked_up) {
  const int slots = static_cast<int>(confidence.size());
  CHECK(!answers_.empty() && accepted >= 0 && accepted <= slots, "{} accepted of {}", accepted,
        slots);
  answers_.back().cycles.push_back({slots, accepted, looked_up, survival_.size()});
  double product = 1;
  for (const double c : confidence) {
    confidence_.push_back(c);
    survival_.push_back(product *= c);
  }
  slots_ = std::max(slots_, slots);
  ++cycles_;
}

Status Recording::finish() {
  std::erase_if(answers_, [](const Answer& answer) { return answer.cycles.empty(); });
  if (slots_ == 0) return fail("no cycle that drafted anything");
  return {};
}

double Recording::tau() const {
  double tokens = 0;
  for (const Answer& answer : answers_)
    for (const Cycle& cycle : answer.cycles) tokens += 1 + cycle.accepted;
  return cycles_ == 0 ? 0 : tokens / static_cast<double>(cycles_);
}

std::span<const double> Recording::confidence(const Cycle& cycle) const {
  return std::span(confidence_).subspan(cycle.first, static_cast<size_t>(cycle.slots));
}
std::span<const double> Recording::survival(const Cycle& cycle) const {
  return std::span(survival_).subspan(cycle.first, static_cast<size_t>(cycle.slots));
}

verify::ConfidenceQuality Recording::quality() const {
  verify::ConfidenceMetrics metrics(slots_);
  for (const Answer& answer : answers_)
    for (const Cycle& cycle : answer.cycles)
      metrics.add(survival(cycle), cycle.slots, cycle.accepted);
  return metrics.summary();
}

Recording synthetic(const Synthetic& spec) {
  CHECK(!spec.kinds.empty() && spec.spread >= 0 && spec.spread <= kMostSpread,
        "{} kinds, spread {}", spec.kinds.size(), spec.spread);
  Recording recording;
  std::mt19937_64 random(spec.seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> confidence;
  for (int a = 0; a < kAnswers; ++a)
    for (const Kind& kind : spec.kinds) {
      recording.begin_answer(spec.tokens);
      for (int i = 0; i < kCyclesOfAnswer; ++i) {
        confidence.clear();
        int accepted = 0;
        for (size_t k = 0; k < kind.acceptance.size(); ++k) {
          confidence.push_back(beta(kind.acceptance[k], spec.spread, random));
          const bool stands = uniform(random) < confidence.back();
          if (stands && accepted == static_cast<int>(k)) ++accepted;
        }
        recording.add(confidence, accepted);
      }
    }
  return recording;
}

double expected_tau(std::span<const double> acceptance, int length) {
  double tau = 1, product = 1;
  for (int k = 0; k < length && k < static_cast<int>(acceptance.size()); ++k)
    tau += product *= acceptance[static_cast<size_t>(k)];
  return tau;
}

}  // namespace dspark::simulate

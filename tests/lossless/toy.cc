#include "lossless/toy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace dspark::verify::testing {

ToyModel::ToyModel(uint64_t seed, int vocab, float deviation)
    : seed_(seed), vocab_(vocab), deviation_(deviation) {}

Row ToyModel::logits(const Tokens& prefix) const {
  std::seed_seq key{
      seed_, static_cast<uint64_t>(prefix.size()),
      std::accumulate(prefix.begin(), prefix.end(), uint64_t{1}, [](uint64_t sum, int32_t id) {
        return sum * 1000003 + static_cast<uint64_t>(id);
      })};
  std::mt19937 random(key);
  std::normal_distribution<float> normal(0, deviation_);
  Row row(static_cast<size_t>(vocab_));
  for (float& logit : row) logit = normal(random);
  return row;
}

Row distribution(const sample::Params& params, const Tokens& generated, const Row& logits) {
  sample::Sampler sampler(params, {}, static_cast<int32_t>(logits.size()));
  for (const int32_t id : generated) sampler.push(id);
  Row probs(logits.size());
  CHECK(sampler.distribution(logits, probs).ok());
  return probs;
}

Row Toy::p(const Tokens& prefix) const {
  return distribution(params, prefix, target.logits(prefix));
}

Row Toy::q(const Tokens& prefix) const {
  Row logits = drafter.logits(prefix);
  if (draft_vocab > 0)
    std::fill(logits.begin() + draft_vocab, logits.end(), -std::numeric_limits<float>::infinity());
  return distribution(params, prefix, logits);
}

bool is_stop(const Toy& toy, int32_t id) {
  return std::find(toy.stops.begin(), toy.stops.end(), id) != toy.stops.end();
}

std::vector<double> normalised(std::span<const float> weights) {
  std::vector<double> result(weights.begin(), weights.end());
  const double total = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& w : result) w /= total;
  return result;
}

namespace {

// Adds chance times the target's continuations of the text to the law.
void extend(const Toy& toy, Tokens& text, double chance, std::vector<double>& law) {
  const int vocab = toy.target.vocab();
  const size_t length = static_cast<size_t>(toy.depth) + 1;
  const bool ended = !text.empty() && is_stop(toy, text.back());
  if (text.size() >= length || ended) {
    size_t number = 0;
    for (size_t i = 0; i < length; ++i)
      number = number * static_cast<size_t>(vocab + 1) +
               static_cast<size_t>(i < text.size() ? text[i] : vocab);
    law[number] += chance;
    return;
  }
  const std::vector<double> p = normalised(toy.p(text));
  for (int32_t id = 0; id < vocab; ++id) {
    if (p[static_cast<size_t>(id)] == 0) continue;
    text.push_back(id);
    extend(toy, text, chance * p[static_cast<size_t>(id)], law);
    text.pop_back();
  }
}

std::vector<double> empty_law(const Toy& toy) {
  return std::vector<double>(
      static_cast<size_t>(std::lround(std::pow(toy.target.vocab() + 1, toy.depth + 1))), 0.0);
}

void add_cycle(const Toy& toy, const Rule& rule, const LengthRule& length, const Drafted& drafted,
               double chance, std::vector<double>& law) {
  Drafted verified = drafted;
  const auto n = static_cast<size_t>(length(toy, drafted.drafts));
  verified.drafts.resize(n);
  verified.rows.resize(n + 1);
  verified.p.resize(n + 1);
  verified.q.resize(n);
  double total = 0;
  for (const Outcome& outcome : rule(toy, verified)) {
    total += outcome.chance;
    Tokens text(verified.drafts.begin(), verified.drafts.begin() + outcome.accepted);
    if (outcome.next.empty()) extend(toy, text, chance * outcome.chance, law);
    for (size_t id = 0; id < outcome.next.size(); ++id) {
      if (outcome.next[id] == 0) continue;
      text.push_back(static_cast<int32_t>(id));
      extend(toy, text, chance * outcome.chance * outcome.next[id], law);
      text.pop_back();
    }
  }
  CHECK(std::fabs(total - 1) < 1e-9, "outcomes of chance {}", total);
}

void draft_on(const Toy& toy, const Rule& rule, const LengthRule& length, Drafted& drafted,
              double chance, std::vector<double>& law) {
  drafted.rows.push_back(toy.target.logits(drafted.drafts));
  drafted.p.push_back(toy.p(drafted.drafts));
  if (static_cast<int>(drafted.drafts.size()) == toy.depth) {
    add_cycle(toy, rule, length, drafted, chance, law);
  } else {
    drafted.q.push_back(toy.q(drafted.drafts));
    const std::vector<double> q = normalised(drafted.q.back());
    for (size_t id = 0; id < q.size(); ++id) {
      if (q[id] == 0) continue;
      drafted.drafts.push_back(static_cast<int32_t>(id));
      draft_on(toy, rule, length, drafted, chance * q[id], law);
      drafted.drafts.pop_back();
    }
    drafted.q.pop_back();
  }
  drafted.rows.pop_back();
  drafted.p.pop_back();
}

}  // namespace

std::vector<double> target_law(const Toy& toy) {
  std::vector<double> law = empty_law(toy);
  Tokens text;
  extend(toy, text, 1, law);
  return law;
}

std::vector<double> text_law(const Toy& toy, const Rule& rule, const LengthRule& length) {
  std::vector<double> law = empty_law(toy);
  Drafted drafted;
  draft_on(toy, rule, length, drafted, 1, law);
  return law;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  CHECK(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(a[i] - b[i]));
  return most;
}

}  // namespace dspark::verify::testing

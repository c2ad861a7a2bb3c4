// Small vocabularies in which everything can be enumerated: a target, a drafter, and the exact
// distribution of the text that a rule of verification makes of them.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "verify/verify.h"

namespace dspark::verify::testing {

using Tokens = std::vector<int32_t>;
using Row = std::vector<float>;

// Next-token logits that depend on every token before: normal variates of the given deviation.
class ToyModel {
 public:
  ToyModel(uint64_t seed, int vocab, float deviation);
  Row logits(const Tokens& prefix) const;
  int vocab() const { return vocab_; }

 private:
  uint64_t seed_;
  int vocab_;
  float deviation_;
};

// p of a row as the sampler has it after these generated tokens.
Row distribution(const sample::Params& params, const Tokens& generated, const Row& logits);

// A target and a drafter with sampling parameters that apply to both, up to `depth` drafts.
struct Toy {
  ToyModel target, drafter;
  sample::Params params;
  int depth;
  Tokens stops;
  int draft_vocab = 0;  // > 0: the drafter has only the ids below

  Row p(const Tokens& prefix) const;
  Row q(const Tokens& prefix) const;
};

bool is_stop(const Toy& toy, int32_t id);
std::vector<double> normalised(std::span<const float> weights);

// What a cycle may do with given drafts.
struct Outcome {
  double chance;
  int accepted;
  std::vector<double> next;  // [vocab], normalised; empty: a stop token was accepted
};

// The law of a cycle. rows, p: [n + 1]; q: [n].
struct Drafted {
  Tokens drafts;
  std::vector<Row> rows, p, q;
};
using Rule = std::function<std::vector<Outcome>(const Toy&, const Drafted&)>;

// The room's own rule, from its verifier's thresholds and weights.
Rule verifier_rule(Mode mode);
// Rejection with one of its parts wrong.
enum class Fault { kNone, kRatioUpsideDown, kResidualFromP };
Rule plain_rejection(Fault fault);

// How many of the drafts are verified, 0 to their number.
using LengthRule = std::function<int(const Toy&, const Tokens& drafts)>;

// The distribution of the first `depth + 1` tokens, by text as a number in base vocab + 1 (a text
// that a stop token ended is filled up with the digit vocab): of the target alone, and of a cycle
// followed by the target.
std::vector<double> target_law(const Toy& toy);
std::vector<double> text_law(const Toy& toy, const Rule& rule, const LengthRule& length);
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);

// Upper tail of the chi-square statistic of counts against probabilities; cells expected fewer than
// 5 times are merged. Impossible counts give 0.
double goodness_of_fit(const std::vector<int64_t>& counts, const std::vector<double>& expected);

}  // namespace dspark::verify::testing

// Public header of the room sample: the one definition of the sampling distribution p, and of the
// noise that draws from it. The same bits on every machine: IEEE operations and SSE2, no libm.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/base.h"

namespace dspark::sample {

// At it every row of real logits is flat.
inline constexpr float kMaxTemperature = 1e6f;

// How a token is chosen. The defaults choose greedily.
struct Params {
  float temperature = 0;  // 0: argmax; in [0, kMaxTemperature]
  int top_k = 0;          // keep the k most likely; 0: all
  float top_p = 1;        // keep the smallest set of the most likely with mass >= top_p; in (0, 1]
  float min_p = 0;        // keep tokens with p >= min_p * max p; in [0, 1]
  float repeat_penalty = 1;  // > 0; divides positive and multiplies negative logits of seen tokens
  float presence_penalty = 0;   // subtracted from the logit of every token generated so far
  float frequency_penalty = 0;  // the same, times how often it was generated
  std::vector<std::pair<int32_t, float>> logit_bias;  // (id, added to its logit)
  uint64_t seed = 0;
};

// Names the first parameter that is out of its range.
Status validate(const Params& params, int32_t vocab_size);

struct TokenLogprob {
  int32_t id;
  // Natural log of the model's probability: no penalties, temperature or filters; under a
  // constraint, of the allowed tokens alone.
  float logprob;
};

// Which tokens may come next, by those that came before: a grammar's place in an answer.
class Constraint {
 public:
  virtual ~Constraint() = default;
  // A bit a token, in words of 64, the lowest first: set where it may come next. Lives until the
  // next call. An error where nothing may, or nothing can be said.
  virtual Result<std::span<const uint64_t>> allowed() = 0;
  // As of Sampler. Behind a token that was not allowed nothing is.
  virtual void push(int32_t id) = 0;
  virtual void pop() = 0;
};

// Chooses the tokens of one request. Order: constraint, penalties and bias, temperature, top-k,
// top-p, min-p (each renormalised), then argmax over the kept v of log p(v) + Gumbel(seed,
// position, v), computed as (logit - largest logit) / temperature + gumbel(...) in double. Ties go
// to the smaller id everywhere. repeat_penalty looks at prompt and generated tokens, the other two
// at generated tokens only.
inline constexpr double kMostLead = 20;
class Sampler {
 public:
  // constraint: of the tokens that may come, nullptr where any may.
  Sampler(Params params, std::span<const int32_t> prompt_ids, int32_t vocab_size,
          std::unique_ptr<Constraint> constraint = nullptr);

  // logits: [vocab_size], the target's at this place; position: the absolute position that the
  // chosen token will have. An error when a logit of an allowed token is NaN or +inf, all are -inf,
  // or the constraint allows none.
  // lead: where given, by how much the token's log p + noise is above the next one's, at most
  // kMostLead, which it is where nothing else may come.
  Result<int32_t> choose(std::span<const float> logits, int64_t position, double* lead = nullptr);

  // p of this place, from which choose() draws: probs[v] is 0 where a filter drops v, else in
  // proportion to exp(logit / temperature) after penalties and bias, each within 1e-5 of itself;
  // the argmax alone at temperature 0. Errors as choose(). logits, probs: [vocab_size].
  Status distribution(std::span<const float> logits, std::span<float> probs);

  // The same of a row that has logits for a few tokens only and -inf for all others; ids are
  // distinct, and probs[i] is that of ids[i]. ids, logits, probs: [n], n >= 1.
  Result<int32_t> choose(std::span<const int32_t> ids, std::span<const float> logits,
                         int64_t position, double* lead = nullptr);
  Status distribution(std::span<const int32_t> ids, std::span<const float> logits,
                      std::span<float> probs);

  // Whether any of the ids (empty: of all) may come next. A draft of other tokens can't stand.
  bool allows_any(std::span<const int32_t> ids);
  // The row with -inf for tokens that may not come next; as it is where any may. Lives until the
  // next call.
  Result<std::span<const float>> allowed(std::span<const float> logits);

  void push(int32_t id);  // the token was committed (or is assumed, for rows further on)
  void pop(int32_t id);   // takes the last push back

  const Params& params() const { return params_; }
  int32_t vocab_size() const { return vocab_size_; }

 private:
  // A row after penalties, bias and filters.
  struct Filtered {
    std::span<const float> logits;  // [vocab_size], after penalties and bias
    int32_t top;                    // the largest one's id
    bool top_alone;                 // nothing else is kept
    bool all;                       // top-k and top-p keep every token; else they keep kept_
    double least_scaled;            // min-p keeps (logit - largest) / temperature from here on
  };
  bool adjusts_logits() const;
  std::span<const float> adjusted(std::span<const float> logits);
  Result<std::span<const uint64_t>> allowed_bits();  // empty: all
  Result<Filtered> filter(std::span<const float> logits);
  // Of a sparse row: kept_ holds the kept tokens; the likeliest one's key.
  Result<uint64_t> filter(std::span<const int32_t> ids, std::span<const float> logits);
  float adjusted(int32_t id, float logit) const;
  double least_scaled() const;

  Params params_;
  int32_t vocab_size_;
  std::vector<uint8_t> in_prompt_;  // [vocab], only when repeat_penalty != 1
  std::vector<int32_t> prompt_;     // the distinct ids of in_prompt_
  std::vector<int32_t> counts_;     // [vocab], only when a penalty needs it
  std::vector<int32_t> generated_;  // distinct ids with a count > 0 (unordered)
  std::vector<float> adjusted_;     // [vocab] scratch
  std::unique_ptr<Constraint> constraint_;
  std::vector<float> allowed_;  // [vocab] scratch
  std::vector<uint64_t> kept_;  // scratch: the tokens that top-k and top-p keep (order.h)
};

// Index of the largest logit, the smallest index on ties; -1 when any is NaN or +inf or all are
// -inf.
int32_t argmax(std::span<const float> logits);

// Gumbel(0, 1) noise of a (seed, position, token): a pure function. It is -log(-log u) with u an
// odd multiple of 2^-53 below 1, so at most 53 ln 2 = 36.7368 and at least -log(53 ln 2) = -3.604.
inline constexpr double kMaxGumbel = 36.737;
double gumbel(uint64_t seed, int64_t position, int32_t token);

// What a uniform variate is for; variates for different purposes are independent.
enum class Purpose : uint8_t {
  kDraft,   // to draw the draft of a slot from q
  kAccept,  // to accept it
  kNext,    // to draw the token after the accepted ones
};

// Uniform in [0, 1), a multiple of 2^-53: a pure function, independent of the Gumbel noise. anchor:
// the absolute position of the cycle's anchor, by which every cycle of a request has variates of
// its own. (By a slot's absolute position they would come again after a rejection, when what was
// seen of them has decided where the cycle ended: that text would be biased.)
double uniform(uint64_t seed, int64_t anchor, int slot, Purpose purpose);

// The first index at which the sum of weights so far exceeds variate times the sum of all; never
// one of weight 0. weights: >= 0, not all 0; variate: in [0, 1).
int32_t draw(std::span<const float> weights, double variate);

// log-probabilities of `chosen` first, then of the n most likely tokens (ties to the smaller id;
// fewer where the vocabulary has fewer). logits: a row that choose() accepts.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int32_t chosen, int n);

// log(sum(exp(logits))), within 1e-6; NaN where argmax() is -1.
double log_sum_exp(std::span<const float> logits);

}  // namespace dspark::sample

#include <algorithm>
#include <cmath>
#include <limits>

#include "sample/draw.h"
#include "sample/order.h"
#include "sample/sample.h"
#include "sample/weights.h"

namespace dspark::sample {
namespace {

Error no_largest(std::span<const float> logits) {
  for (size_t id = 0; id < logits.size(); ++id)
    if (!(logits[id] <= std::numeric_limits<float>::max()))
      return fail("the logit of token {} is {}, expected a number below infinity", id, logits[id]);
  return fail("every token is ruled out: all logits are -inf");
}

}  // namespace

Sampler::Sampler(Params params, std::span<const int32_t> prompt_ids, int32_t vocab_size,
                 std::unique_ptr<Constraint> constraint)
    : params_(std::move(params)), vocab_size_(vocab_size), constraint_(std::move(constraint)) {
  const auto vocab = static_cast<size_t>(vocab_size);
  const bool repeats = params_.repeat_penalty != 1;
  if (repeats || params_.presence_penalty != 0 || params_.frequency_penalty != 0)
    counts_.assign(vocab, 0);
  if (!repeats) return;
  in_prompt_.assign(vocab, 0);
  for (const int32_t id : prompt_ids) {
    CHECK(id >= 0 && id < vocab_size, "token {} of a vocabulary of {}", id, vocab_size);
    uint8_t& seen = in_prompt_[static_cast<size_t>(id)];
    if (!seen) prompt_.push_back(id);
    seen = 1;
  }
}

void Sampler::push(int32_t id) {
  CHECK(id >= 0 && id < vocab_size_, "token {} of a vocabulary of {}", id, vocab_size_);
  if (constraint_ != nullptr) constraint_->push(id);
  if (counts_.empty()) return;
  if (counts_[static_cast<size_t>(id)]++ == 0) generated_.push_back(id);
}

void Sampler::pop(int32_t id) {
  CHECK(id >= 0 && id < vocab_size_, "token {} of a vocabulary of {}", id, vocab_size_);
  if (constraint_ != nullptr) constraint_->pop();
  if (counts_.empty()) return;
  int32_t& count = counts_[static_cast<size_t>(id)];
  CHECK(count > 0, "pop of token {}, which was not pushed", id);
  if (--count > 0) return;
  const auto last = std::find(generated_.rbegin(), generated_.rend(), id);
  generated_.erase(std::next(last).base());
}

bool Sampler::adjusts_logits() const {
  return !prompt_.empty() || !generated_.empty() || !params_.logit_bias.empty();
}

std::span<const float> Sampler::adjusted(std::span<const float> logits) {
  adjusted_.assign(logits.begin(), logits.end());
  const auto repeat = [&](int32_t id) {
    float& logit = adjusted_[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / params_.repeat_penalty : logit * params_.repeat_penalty;
  };
  for (const int32_t id : prompt_) repeat(id);
  for (const int32_t id : generated_) {
    if (params_.repeat_penalty != 1 && !in_prompt_[static_cast<size_t>(id)]) repeat(id);
    float& logit = adjusted_[static_cast<size_t>(id)];
    logit -= params_.presence_penalty;
    logit -= params_.frequency_penalty * static_cast<float>(counts_[static_cast<size_t>(id)]);
  }
  for (const auto& [id, bias] : params_.logit_bias) adjusted_[static_cast<size_t>(id)] += bias;
  return adjusted_;
}

// min-p keeps a prefix of the order of likelihood that the other filters' renormalising can't
// change, so it may be applied last, token by token.
double Sampler::least_scaled() const {
  return params_.min_p > 0 ? real_log(static_cast<double>(params_.min_p))
                           : -std::numeric_limits<double>::infinity();
}

Result<Sampler::Filtered> Sampler::filter(std::span<const float> logits) {
  CHECK(logits.size() == static_cast<size_t>(vocab_size_), "{} logits of a vocabulary of {}",
        logits.size(), vocab_size_);
  DSPARK_TRY(logits, allowed(logits));
  if (adjusts_logits()) logits = adjusted(logits);
  const int32_t top = argmax(logits);
  if (top < 0) return no_largest(logits);
  Filtered row{logits, top, true, false, -std::numeric_limits<double>::infinity()};
  if (params_.temperature == 0 || params_.top_k == 1) return row;

  row.top_alone = false;
  row.least_scaled = least_scaled();
  const float largest = logits[static_cast<size_t>(top)];
  const bool by_rank = params_.top_k > 0 && params_.top_k < vocab_size_;
  if (by_rank) keep_top_k(logits, largest, static_cast<size_t>(params_.top_k), kept_);
  if (params_.top_p < 1) {
    if (by_rank)
      shrink_to_top_p(largest, params_.temperature, params_.top_p, kept_);
    else
      keep_top_p(logits, largest, params_.temperature, params_.top_p, kept_);
  }
  row.all = !by_rank && params_.top_p >= 1;
  return row;
}

Result<int32_t> Sampler::choose(std::span<const float> logits, int64_t position, double* lead) {
  DSPARK_TRY(const Filtered row, filter(logits));
  if (lead != nullptr) *lead = kMostLead;
  if (row.top_alone) return row.top;
  Draw draw(NoiseRow(params_.seed, position), row.logits[static_cast<size_t>(row.top)], row.top,
            params_.temperature, row.least_scaled, lead != nullptr);
  if (row.all)
    draw.offer_all(row.logits);
  else
    draw.offer_kept(kept_);
  if (lead != nullptr) *lead = draw.lead();
  return draw.token();
}

Status Sampler::distribution(std::span<const float> logits, std::span<float> probs) {
  CHECK(probs.size() == logits.size(), "{} probabilities of {} logits", probs.size(),
        logits.size());
  DSPARK_TRY(const Filtered row, filter(logits));
  if (row.top_alone || !row.all) std::fill(probs.begin(), probs.end(), 0.0f);
  if (row.top_alone) {
    probs[static_cast<size_t>(row.top)] = 1;
    return {};
  }
  const float largest = row.logits[static_cast<size_t>(row.top)];
  const WeightScale scale(largest, params_.temperature);
  const auto dropped = [&](float logit) {  // as Draw drops it
    const double below = static_cast<double>(logit) - static_cast<double>(largest);
    return below / params_.temperature < row.least_scaled;
  };
  if (row.all) {
    row_weights(row.logits, scale, probs);
    if (params_.min_p > 0)
      for (size_t id = 0; id < probs.size(); ++id)
        if (dropped(row.logits[id])) probs[id] = 0;
  } else {
    for (const OrderKey key : kept_)
      if (!dropped(key_logit(key)))
        probs[static_cast<size_t>(key_id(key))] = weight(key_logit(key), scale);
  }
  normalise(probs);
  return {};
}

}  // namespace dspark::sample

#include <algorithm>
#include <cmath>
#include <limits>

#include "sample/draw.h"
#include "sample/order.h"
#include "sample/sample.h"

namespace dspark::sample {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Error no_largest(std::span<const float> logits) {
  for (size_t id = 0; id < logits.size(); ++id)
    if (!(logits[id] <= std::numeric_limits<float>::max()))
      return fail("the logit of token {} is {}, expected a number below infinity", id, logits[id]);
  return fail("every token is ruled out: all logits are -inf");
}

}  // namespace

Sampler::Sampler(Params params, std::span<const int32_t> prompt_ids, int32_t vocab_size)
    : params_(std::move(params)), vocab_size_(vocab_size) {
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
  if (counts_.empty()) return;
  if (counts_[static_cast<size_t>(id)]++ == 0) generated_.push_back(id);
}

void Sampler::pop(int32_t id) {
  CHECK(id >= 0 && id < vocab_size_, "token {} of a vocabulary of {}", id, vocab_size_);
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

Result<int32_t> Sampler::choose(std::span<const float> logits, int64_t position) {
  CHECK(logits.size() == static_cast<size_t>(vocab_size_), "{} logits of a vocabulary of {}",
        logits.size(), vocab_size_);
  if (adjusts_logits()) logits = adjusted(logits);
  const int32_t top = argmax(logits);
  if (top < 0) return no_largest(logits);
  if (params_.temperature == 0 || params_.top_k == 1) return top;

  // min-p keeps a prefix of the order of likelihood that the other filters' renormalising can't
  // change, so it may be applied as tokens are offered.
  const double least_scaled =
      params_.min_p > 0 ? real_log(static_cast<double>(params_.min_p)) : -kInfinity;
  const float largest = logits[static_cast<size_t>(top)];
  Draw draw(NoiseRow(params_.seed, position), largest, top, params_.temperature, least_scaled);
  const bool by_rank = params_.top_k > 0 && params_.top_k < vocab_size_;
  if (by_rank) keep_top_k(logits, largest, static_cast<size_t>(params_.top_k), kept_);
  if (params_.top_p < 1) {
    if (by_rank)
      shrink_to_top_p(largest, params_.temperature, params_.top_p, kept_);
    else
      keep_top_p(logits, largest, params_.temperature, params_.top_p, kept_);
  }
  if (by_rank || params_.top_p < 1)
    draw.offer_kept(kept_);
  else
    draw.offer_all(logits);
  return draw.token();
}

}  // namespace dspark::sample

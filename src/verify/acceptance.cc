#include "verify/acceptance.h"

#include <algorithm>

#include "verify/residual.h"

namespace dspark::verify {
namespace {

bool is_stop(const CycleInput& cycle, int32_t id) {
  return std::find(cycle.stop_ids.begin(), cycle.stop_ids.end(), id) != cycle.stop_ids.end();
}

}  // namespace

// Drafts that rows further on take as committed; taken back at the end, however it comes.
class Verifier::Assumed {
 public:
  Assumed(std::span<const int32_t> drafts, sample::Sampler& sampler)
      : drafts_(drafts), sampler_(sampler) {}
  Assumed(const Assumed&) = delete;
  ~Assumed() {
    while (count_ > 0) sampler_.pop(drafts_[--count_]);
  }
  void push_next() { sampler_.push(drafts_[count_++]); }

 private:
  std::span<const int32_t> drafts_;
  sample::Sampler& sampler_;
  size_t count_ = 0;
};

Verifier::Verifier(Mode mode, int32_t vocab_size) : mode_(mode), vocab_size_(vocab_size) {
  if (ignores_drafts(mode)) return;
  for (auto* row : {&p_, &residual_, &next_}) row->resize(static_cast<size_t>(vocab_size));
}

Result<Verdict> Verifier::verify(const CycleInput& cycle, sample::Sampler& sampler) {
  if (ignores_drafts(mode_)) return verify(cycle, Uniforms{}, sampler);
  const uint64_t seed = sampler.params().seed;
  accept_.resize(cycle.drafts.size());
  for (size_t i = 0; i < accept_.size(); ++i)
    accept_[i] = sample::uniform(seed, cycle.anchor, static_cast<int>(i), sample::Purpose::kAccept);
  return verify(cycle, {accept_, sample::uniform(seed, cycle.anchor, 0, sample::Purpose::kNext)},
                sampler);
}

Result<Verdict> Verifier::verify(const CycleInput& cycle, const Uniforms& uniforms,
                                 sample::Sampler& sampler) {
  const size_t n = cycle.drafts.size();
  CHECK(cycle.rows.size() == n + 1, "{} rows of {} drafts", cycle.rows.size(), n);
  CHECK(sampler.vocab_size() == vocab_size_, "a sampler of {} tokens, a verifier of {}",
        sampler.vocab_size(), vocab_size_);
  CHECK(check_mode(mode_, sampler.params()).ok(), "greedy verification at temperature {}",
        sampler.params().temperature);
  for (const int32_t id : cycle.drafts)
    CHECK(id >= 0 && id < vocab_size_, "draft {} of a vocabulary of {}", id, vocab_size_);
  thresholds_.clear();
  if (ignores_drafts(mode_)) return by_choice(cycle, sampler);

  CHECK(cycle.draft_distributions.size() == n && uniforms.accept.size() == n,
        "{} draft distributions and {} variates of {} drafts", cycle.draft_distributions.size(),
        uniforms.accept.size(), n);
  for (const DraftDistribution& q : cycle.draft_distributions)
    CHECK(q.probs.size() == (q.ids.empty() ? p_.size() : q.ids.size()),
          "{} probabilities of {} ids in a vocabulary of {}", q.probs.size(), q.ids.size(),
          vocab_size_);
  return mode_ == Mode::kRejection ? by_rejection(cycle, uniforms, sampler)
                                   : by_block(cycle, uniforms, sampler);
}

Result<Verdict> Verifier::by_choice(const CycleInput& cycle, sample::Sampler& sampler) {
  const size_t n = cycle.drafts.size();
  Assumed assumed(cycle.drafts, sampler);
  for (size_t i = 0;; ++i) {
    const int accepted = static_cast<int>(i);
    DSPARK_TRY(const int32_t choice,
               sampler.choose(cycle.rows[i], cycle.anchor + 1 + static_cast<int64_t>(i)));
    const bool stop = is_stop(cycle, choice);
    if (i == n || choice != cycle.drafts[i]) return Verdict{accepted, choice, stop};
    if (stop) return Verdict{accepted + 1, -1, true};
    assumed.push_next();
  }
}

Result<Verdict> Verifier::by_rejection(const CycleInput& cycle, const Uniforms& uniforms,
                                       sample::Sampler& sampler) {
  const size_t n = cycle.drafts.size();
  Assumed assumed(cycle.drafts, sampler);
  for (size_t i = 0;; ++i) {
    DSPARK_RETURN_IF_ERROR(sampler.distribution(cycle.rows[i], p_));
    if (i == n) {
      next_.swap(p_);
      return finish(cycle, static_cast<int>(i), uniforms.next);
    }
    const DraftDistribution& q = cycle.draft_distributions[i];
    const int32_t draft = cycle.drafts[i];
    const double p_draft = static_cast<double>(p_[static_cast<size_t>(draft)]);
    thresholds_.push_back(std::min(1.0, likelihood_ratio(p_draft, probability(q, draft))));
    if (!(uniforms.accept[i] < thresholds_.back())) {
      if (residual(1, p_, q, next_) <= kLeastResidual) next_.swap(p_);
      return finish(cycle, static_cast<int>(i), uniforms.next);
    }
    if (is_stop(cycle, draft)) return Verdict{static_cast<int>(i) + 1, -1, true};
    assumed.push_next();
  }
}

Result<Verdict> Verifier::by_block(const CycleInput& cycle, const Uniforms& uniforms,
                                   sample::Sampler& sampler) {
  Assumed assumed(cycle.drafts, sampler);
  const size_t n = cycle.drafts.size();
  size_t accepted = 0;
  double w = 1;  // of the first i drafts
  for (size_t i = 0;; ++i) {
    // Row i gives the threshold of slot i - 1 and, should it be the last accepted, the next token.
    DSPARK_RETURN_IF_ERROR(sampler.distribution(cycle.rows[i], p_));
    const auto accept = [&](double threshold) {
      if (i == 0) return true;
      thresholds_.push_back(threshold);
      return uniforms.accept[i - 1] < threshold;
    };
    if (i == n) {
      if (accept(w)) {
        accepted = n;
        next_.swap(p_);
      }
      break;
    }
    const DraftDistribution& q = cycle.draft_distributions[i];
    const int32_t draft = cycle.drafts[i];
    const double p_draft = static_cast<double>(p_[static_cast<size_t>(draft)]);
    const double mass = residual(w, p_, q, residual_);
    if (accept(block_threshold(mass, w))) {
      accepted = i;
      next_.swap(mass > kLeastResidual ? residual_ : p_);
    }
    w = std::min(1.0, w * likelihood_ratio(p_draft, probability(q, draft)));
    if (w == 0) break;  // and so are the thresholds from here on
    if (is_stop(cycle, draft)) {
      thresholds_.push_back(w);
      if (uniforms.accept[i] < w) return Verdict{static_cast<int>(i) + 1, -1, true};
      break;
    }
    assumed.push_next();
  }
  return finish(cycle, static_cast<int>(accepted), uniforms.next);
}

Verdict Verifier::finish(const CycleInput& cycle, int accepted, double variate) const {
  const int32_t next = sample::draw(next_, variate);
  return {accepted, next, is_stop(cycle, next)};
}

}  // namespace dspark::verify

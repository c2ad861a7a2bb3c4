#include "draft/slot_rows.h"

#include <emmintrin.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace dspark::draft {
namespace {

constexpr size_t kSpan = 16;
constexpr int kDrawnFactor = 4;
constexpr float kNegligible = 20;  // candidates so far below the second add nothing

// Larger for the larger logit, then the smaller index.
uint64_t rank_key(float logit, size_t index) {
  const uint32_t bits = std::bit_cast<uint32_t>(logit + 0.0f);
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t{ordered} << 32 | static_cast<uint32_t>(~static_cast<uint32_t>(index));
}

}  // namespace

// The k-th largest of the spans' largest is a bound that at least k logits reach: few others do.
bool TopCandidates::select(std::span<const float> logits, int k, std::vector<int32_t>& indices) {
  indices.clear();
  const auto wanted = static_cast<size_t>(k);
  block_largest_.clear();
  __m128 zero = _mm_setzero_ps();  // stays 0 but for NaN and infinities
  for (size_t begin = 0; begin < logits.size(); begin += kSpan) {
    const size_t end = std::min(begin + kSpan, logits.size());
    __m128 most = _mm_set1_ps(logits[begin]);
    size_t i = begin;
    for (; i + 4 <= end; i += 4) {
      const __m128 v = _mm_loadu_ps(logits.data() + i);
      most = _mm_max_ps(most, v);
      zero = _mm_add_ps(zero, _mm_sub_ps(v, v));
    }
    for (; i < end; ++i) {
      const __m128 v = _mm_set1_ps(logits[i]);
      most = _mm_max_ps(most, v);
      zero = _mm_add_ps(zero, _mm_sub_ps(v, v));
    }
    float lanes[4];
    _mm_storeu_ps(lanes, most);
    block_largest_.push_back(*std::max_element(lanes, lanes + 4));
  }
  if (_mm_movemask_ps(_mm_cmpunord_ps(zero, zero)) != 0) return false;
  if (logits.size() <= wanted) {
    for (size_t i = 0; i < logits.size(); ++i) indices.push_back(static_cast<int32_t>(i));
    return true;
  }
  float bound = -std::numeric_limits<float>::infinity();
  if (block_largest_.size() >= wanted) {
    thresholds_.assign(block_largest_.begin(), block_largest_.end());
    const auto at = thresholds_.begin() + k - 1;
    std::nth_element(thresholds_.begin(), at, thresholds_.end(), std::greater<>());
    bound = *at;
  }
  kept_.clear();
  for (size_t block = 0; block < block_largest_.size(); ++block) {
    if (block_largest_[block] < bound) continue;
    for (size_t i = block * kSpan; i < std::min((block + 1) * kSpan, logits.size()); ++i)
      if (logits[i] >= bound) kept_.push_back(rank_key(logits[i], i));
  }
  const auto at = kept_.begin() + k;
  if (kept_.size() > wanted) {
    std::nth_element(kept_.begin(), at, kept_.end(), std::greater<>());
    kept_.resize(wanted);
  }
  for (const uint64_t key : kept_)
    indices.push_back(static_cast<int32_t>(~static_cast<uint32_t>(key)));
  std::sort(indices.begin(), indices.end());
  return true;
}

bool SlotRow::start(std::span<const float> base, bool drawn) {
  base_ = base;
  indices_.clear();
  const int wanted = config_.candidates * (drawn ? kDrawnFactor : 1);
  if (wanted == 0 || static_cast<size_t>(wanted) >= base.size()) {
    logits_.assign(base.begin(), base.end());
    return true;
  }
  if (!top_.select(base, wanted, indices_)) return false;
  logits_.resize(indices_.size());
  for (size_t i = 0; i < indices_.size(); ++i) logits_[i] = base[static_cast<size_t>(indices_[i])];
  return true;
}

float SlotRow::log_odds() const {
  if (logits_.size() < 2) return 0;
  float first = -std::numeric_limits<float>::infinity(), second = first;
  for (const float logit : logits_) {
    second = std::max(second, std::min(first, logit));
    first = std::max(first, logit);
  }
  if (!std::isfinite(second)) return 0;
  double others = -1;  // the most likely candidate counts itself below
  for (const float logit : logits_)
    if (logit > second - kNegligible)
      others +=
          real_exp(static_cast<double>(std::min(logit, second)) - static_cast<double>(second));
  return static_cast<float>(static_cast<double>(first) - static_cast<double>(second) -
                            real_log(others));
}

void SlotRow::list_ids() {
  ids_.clear();
  const bool all = indices_.empty();
  if (all && config_.d2t.empty()) return;
  ids_.resize(logits_.size());
  for (size_t i = 0; i < ids_.size(); ++i) {
    const auto index = all ? static_cast<int32_t>(i) : indices_[i];
    ids_[i] = config_.d2t.empty() ? index : config_.d2t[static_cast<size_t>(index)];
  }
}

Result<bool> SlotRow::draw(const BlockRequest& request, int slot) {
  Block& out = *request.out;
  sample::Sampler& sampler = *request.sampler;
  const int64_t position = request.anchor() + 1 + slot;
  const bool shares_noise = !request.own_variates && sampler.params().temperature > 0;
  if (!shares_noise) certainty_ = log_odds();
  list_ids();
  if (!sampler.allows_any(ids_)) {
    indices_.clear();
    logits_.assign(base_.begin(), base_.end());
    list_ids();
    if (!sampler.allows_any(ids_)) return false;
  }
  const bool dense = ids_.empty();
  if (!request.own_variates) {
    double lead = 0;
    DSPARK_TRY(const int32_t id, dense ? sampler.choose(logits_, position, &lead)
                                       : sampler.choose(ids_, logits_, position, &lead));
    if (shares_noise) certainty_ = static_cast<float>(lead);
    out.ids.push_back(id);
    return true;
  }
  const auto place = static_cast<size_t>(slot);
  if (out.distributions.size() <= place) out.distributions.resize(place + 1);
  Distribution& q = out.distributions[place];
  q.probs.resize(logits_.size());
  if (dense)
    q.ids.clear();
  else
    q.ids.assign(ids_.begin(), ids_.end());
  DSPARK_RETURN_IF_ERROR(dense ? sampler.distribution(logits_, q.probs)
                               : sampler.distribution(ids_, logits_, q.probs));
  const int32_t drawn = sample::draw(
      q.probs,
      sample::uniform(sampler.params().seed, request.anchor(), slot, sample::Purpose::kDraft));
  out.ids.push_back(dense ? drawn : ids_[static_cast<size_t>(drawn)]);
  return true;
}

}  // namespace dspark::draft

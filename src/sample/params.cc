#include <cmath>
#include <limits>

#include "sample/sample.h"

namespace dspark::sample {

Status validate(const Params& p, int32_t vocab_size) {
  if (!(p.temperature >= 0 && p.temperature <= kMaxTemperature))
    return fail("temperature: {}, expected 0 to {}", p.temperature, kMaxTemperature);
  if (p.top_k < 0) return fail("top-k: {}, expected 0 (off) or more", p.top_k);
  if (!(p.top_p > 0 && p.top_p <= 1))
    return fail("top-p: {}, expected above 0 and at most 1", p.top_p);
  if (!(p.min_p >= 0 && p.min_p <= 1)) return fail("min-p: {}, expected 0 to 1", p.min_p);
  if (!(p.repeat_penalty > 0 && std::isfinite(p.repeat_penalty)))
    return fail("repeat penalty: {}, expected above 0", p.repeat_penalty);
  if (!std::isfinite(p.presence_penalty))
    return fail("presence penalty: {}, expected a finite number", p.presence_penalty);
  if (!std::isfinite(p.frequency_penalty))
    return fail("frequency penalty: {}, expected a finite number", p.frequency_penalty);
  for (const auto& [id, bias] : p.logit_bias) {
    if (id < 0 || id >= vocab_size)
      return fail("logit bias: token id {}, expected 0 to {}", id, vocab_size - 1);
    if (std::isnan(bias) || bias == std::numeric_limits<float>::infinity())
      return fail("logit bias: {} for token {}, expected a number below infinity", bias, id);
  }
  return {};
}

}  // namespace dspark::sample

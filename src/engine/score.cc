// How likely the target finds a given text.
#include "engine/impl.h"

namespace dspark::engine {

Result<Score> Engine::score(const std::vector<int32_t>& ids) {
  Score score;
  double sum = 0;
  const auto n = static_cast<int64_t>(ids.size());
  Status finite;
  DSPARK_RETURN_IF_ERROR(read(ids, {}, [&](const Reading& reading) {
    for (int64_t i = 0; i < reading.rows && finite.ok(); ++i) {
      const std::span<const float> logits = reading.logits[static_cast<size_t>(i)];
      const int64_t position = reading.position + i;
      if (sample::argmax(logits) < 0) {
        finite = fail("position {}: a logit is not finite", position);
      } else if (position + 1 == n) {
        const auto top = sample::top_logprobs(logits, sample::argmax(logits), 20);
        for (size_t k = 1; k < top.size(); ++k)  // [0] is the chosen once more
          score.top.emplace_back(top[k].id, logits[static_cast<size_t>(top[k].id)]);
      } else {
        sum += sample::log_sum_exp(logits) -
               logits[static_cast<size_t>(ids[static_cast<size_t>(position + 1)])];
      }
    }
  }));
  DSPARK_RETURN_IF_ERROR(finite);
  if (n > 1) score.nll = sum / static_cast<double>(n - 1);
  return score;
}

}  // namespace dspark::engine

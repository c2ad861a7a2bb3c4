// How likely the target finds a given text.
#include "engine/impl.h"

namespace dspark::engine {

Result<Score> Engine::score(const std::vector<int32_t>& ids) {
  Impl& e = *impl_;
  const FloatMode mode;
  CHECK(idle(), "score() while requests run");
  const auto n = static_cast<int64_t>(ids.size());
  if (n == 0) return fail("no token ids");
  for (int32_t id : ids)
    if (id < 0 || id >= e.info.vocab)
      return fail("token id {} is not in the vocabulary of {}", id, e.info.vocab);
  if (n > e.info.context) return fail("{} tokens, the context holds {}", n, e.info.context);
  kv::Sequence sequence(*e.pages);
  if (!sequence.reserve(n))
    return fail("{} tokens, the cache holds {}", n, e.pages->pages() * kv::kPositions);
  Score score;
  double sum = 0;
  const int64_t chunk = std::min(kScoreRows, e.options.max_running + e.options.prefill_chunk);
  std::vector<int32_t> rows(static_cast<size_t>(chunk));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  for (int64_t at = 0; at < n; at += chunk) {
    const int64_t count = std::min(chunk, n - at);
    const model::Segment segment{&sequence, 0, static_cast<int>(count), at};
    e.forward->run({std::span(ids).subspan(static_cast<size_t>(at), static_cast<size_t>(count)),
                    {&segment, 1},
                    std::span(rows).first(static_cast<size_t>(count)),
                    {},
                    nullptr});
    sequence.extend(count);
    for (int64_t i = 0; i < count; ++i) {
      const std::span<const float> logits = e.forward->logits(static_cast<int>(i));
      if (!e.forward->row_ok(static_cast<int>(i)) || sample::argmax(logits) < 0)
        return fail("position {}: an activation is not finite", at + i);
      if (at + i + 1 == n) {
        const auto top = sample::top_logprobs(logits, sample::argmax(logits), 20);
        for (size_t k = 1; k < top.size(); ++k)  // [0] is the chosen once more
          score.top.emplace_back(top[k].id, logits[static_cast<size_t>(top[k].id)]);
      } else {
        sum += sample::log_sum_exp(logits) -
               logits[static_cast<size_t>(ids[static_cast<size_t>(at + i + 1)])];
      }
    }
  }
  if (n > 1) score.nll = sum / static_cast<double>(n - 1);
  return score;
}

}  // namespace dspark::engine

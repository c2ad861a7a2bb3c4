// A given text through the target, all rows handed out.
#include "engine/impl.h"

namespace dspark::engine {

Status Engine::read(const std::vector<int32_t>& ids, const std::vector<int>& tap_layers,
                    const std::function<void(const Reading&)>& visit) {
  Impl& e = *impl_;
  const FloatMode mode;
  CHECK(idle(), "read() while requests run");
  const auto n = static_cast<int64_t>(ids.size());
  if (n == 0) return fail("no token ids");
  for (int32_t id : ids)
    if (id < 0 || id >= e.info.vocab)
      return fail("token id {} is not in the vocabulary of {}", id, e.info.vocab);
  if (n > e.info.context) return fail("{} tokens, the context holds {}", n, e.info.context);
  for (size_t i = 0; i < tap_layers.size(); ++i)
    if (tap_layers[i] < -1 || tap_layers[i] >= e.info.layers ||
        (i > 0 && tap_layers[i] <= tap_layers[i - 1]))
      return fail("tap {}: expected layers from -1 to {}, ascending", tap_layers[i],
                  e.info.layers - 1);
  kv::Sequence sequence(*e.pages);
  if (!e.reserve(sequence, n))
    return fail("{} tokens, the cache holds {}", n, e.pages->pages() * kv::kPositions);

  const int64_t chunk = std::min(kScoreRows, e.options.max_running + e.options.prefill_chunk);
  const auto hidden = static_cast<size_t>(e.info.hidden);
  std::vector<int32_t> rows(static_cast<size_t>(chunk));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  std::vector<float> taps(rows.size() * tap_layers.size() * hidden), normed(rows.size() * hidden);
  Reading reading;
  for (int64_t at = 0; at < n; at += chunk) {
    const int64_t count = std::min(chunk, n - at);
    const model::Segment segment{&sequence, 0, static_cast<int>(count), at};
    model::Batch batch{std::span(ids).subspan(static_cast<size_t>(at), static_cast<size_t>(count)),
                       {&segment, 1},
                       std::span(rows).first(static_cast<size_t>(count)),
                       tap_layers,
                       tap_layers.empty() ? nullptr : taps.data()};
    batch.normed = normed.data();
    e.forward->run(batch);
    sequence.extend(count);
    reading.position = at, reading.rows = static_cast<int>(count);
    reading.taps = taps.data(), reading.normed = normed.data();
    reading.logits.clear();
    for (int i = 0; i < reading.rows; ++i) {
      if (!e.forward->row_ok(i)) return fail("position {}: an activation is not finite", at + i);
      reading.logits.push_back(e.forward->logits(i));
    }
    visit(reading);
  }
  return {};
}

}  // namespace dspark::engine

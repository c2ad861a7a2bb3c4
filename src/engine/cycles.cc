// The cycles of a step: which drafts of the decoding requests stand, and what that commits.
#include <numeric>

#include "engine/impl.h"

namespace dspark::engine {

void Engine::Impl::prepare_verifiers(verify::Mode mode) {
  for (Checker& checker : checkers) {
    auto& verifier = checker.verifiers[static_cast<size_t>(mode)];
    if (verifier == nullptr) verifier = std::make_unique<verify::Verifier>(mode, info.vocab);
  }
}

// The target's rows of a segment whose activations are finite, from the anchor on. A draft that
// makes one overflow ends them: plain decoding would only meet it if the draft stood.
int Engine::Impl::sound_rows(size_t s) const {
  const model::Segment& segment = rows.segments[s];
  int sound = 0;
  while (sound < segment.rows && forward->row_ok(segment.first_row + sound)) ++sound;
  return sound;
}

std::span<const std::span<const float>> Engine::Impl::list_logits(size_t s, int sound,
                                                                  Checker& checker) const {
  checker.rows.clear();
  for (int i = 0; i < sound; ++i) checker.rows.push_back(forward->logits(rows.first_logit[s] + i));
  return checker.rows;
}

// Requests side by side, each by one thread: drawing a row under a filter takes some 50 us.
void Engine::Impl::check_drafts() {
  if (decoding.empty()) return;
  verdicts.assign(rows.segments.size(), verify::Verdict{});
  const auto threads = static_cast<size_t>(pool.threads());
  pool.run([&](int thread) {
    Checker& checker = checkers[static_cast<size_t>(thread)];
    size_t nth = 0;
    for (size_t s = 0; s < rows.segments.size(); ++s) {
      ActiveRequest& request = *rows.requests[s];
      if (request.prefilling() || nth++ % threads != static_cast<size_t>(thread)) continue;
      const int sound = sound_rows(s);
      if (sound == 0) continue;
      const draft::Block& block = request.draft().block;
      const auto drafts = static_cast<size_t>(sound - 1);
      checker.q.clear();
      const verify::Mode mode = request.verify_mode(options.verify);
      if (!verify::ignores_drafts(mode))
        for (size_t i = 0; i < drafts; ++i)
          checker.q.push_back({block.distributions[i].ids, block.distributions[i].probs});
      const verify::CycleInput input{rows.segments[s].position, std::span(block.ids).first(drafts),
                                     list_logits(s, sound, checker), checker.q, request.stop_ids()};
      verify::Verifier& verifier = *checker.verifiers[static_cast<size_t>(mode)];
      verdicts[s] = verifier.verify(input, request.sampler());
    }
  });
}

void Engine::Impl::commit(size_t s, RequestStep& share) {
  const model::Segment& segment = rows.segments[s];
  ActiveRequest& request = *rows.requests[s];
  const int sound = sound_rows(s);
  if (sound == 0)
    return request.finish(
        Finish::kError, fmt::format("position {}: an activation is not finite", segment.position));
  const Result<verify::Verdict>& verdict = verdicts[s];
  if (!verdict.ok())
    return request.finish(Finish::kError,
                          fmt::format("position {}: {}", segment.position + 1, verdict.message()));
  const int accepted = verdict.value().accepted;
  const Cycle cycle{static_cast<int>(request.draft().block.ids.size()), segment.rows - 1, accepted,
                    verdict.value().next<0, request.draft().block.matched> 0};
  share.decoded = true;
  share.drafted = cycle.drafted, share.verified = cycle.verified, share.accepted = accepted;
  const auto& survival = request.draft().survival;
  const auto known = std::min(survival.size(), static_cast<size_t>(cycle.verified));
  share.expected_accepted =
      std::accumulate(survival.begin(), survival.begin() + static_cast<std::ptrdiff_t>(known), 0.0);
  stats.drafted += cycle.drafted, stats.verified += cycle.verified, stats.accepted += accepted;
  stats.tokens += accepted + (cycle.ended ? 0 : 1);
  // Nothing was decided about drafts behind an accepted stop token.
  if (speculation != nullptr)
    speculation->observe(request, cycle.ended ? accepted : cycle.verified, accepted);
  request.sequence().extend(1 + accepted);
  request.commit(cycle, verdict.value(), list_logits(s, sound, checkers[0]), info.context);
}

}  // namespace dspark::engine

#include "apps/step_times.h"

#include "apps/bench.h"

namespace dspark::apps {

Status time_steps(engine::Engine& engine, int requests, int slots, StepTimes& times,
                  const sample::Params& sampling) {
  for (int i = 0; i < requests; ++i) {
    engine::Request request = bench_request(engine.info(), kTimedPrompt, timed_tokens(requests), i);
    request.draft_max = slots;
    request.sampling = sampling;
    DSPARK_TRY([[maybe_unused]] const auto id, engine.submit(std::move(request), {}));
  }
  while (engine.step()) {
    const engine::StepStats& step = engine.last_step();
    if (step.requests != requests || step.logit_rows != step.rows) continue;
    if (step.drafted < requests * slots || (slots == 0 && step.rows != requests)) continue;
    times.step.push_back(step.ms);
    times.draft.push_back(step.draft_ms);
    times.plan.push_back(step.plan_ms);
    times.forward.push_back(step.forward_ms);
    times.verify.push_back(step.verify_ms);
  }
  if (times.step.empty()) return fail("no step had {} requests with {} drafts", requests, slots);
  return {};
}

}  // namespace dspark::apps

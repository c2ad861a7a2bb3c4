// bench --suite draft: what a drafter costs beside the steps that it serves.
#include "apps/bench.h"
#include "apps/step_times.h"

namespace dspark::apps {
namespace {

constexpr int kRounds = 5;  // plain and drafted steps in turns, so that both see the same machine

// Greedy, and coupled noise under a filter.
const sample::Params kSamplings[] = {
    {}, {.temperature = 1, .top_p = 0.95f, .logit_bias = {}, .seed = 1}};

void add_row(const engine::Info& info, int requests, const sample::Params& sampling,
             const StepTimes& plain, const StepTimes& drafted, BenchResult& result) {
  const double plain_ms = median(plain.step), draft_ms = median(drafted.draft);
  result.rows.push_back({{"suite", "draft"},
                         {"case", "cycle"},
                         {"requests", requests},
                         {"temperature", sampling.temperature},
                         {"top_p", sampling.top_p},
                         {"slots", info.draft_slots},
                         {"draft_ms", draft_ms},
                         {"plan_ms", median(drafted.plan)},
                         {"forward_ms", median(drafted.forward)},
                         {"verify_ms", median(drafted.verify)},
                         {"step_ms", median(drafted.step)},
                         {"plain_step_ms", plain_ms},
                         {"draft_per_plain_step", draft_ms / plain_ms},
                         {"draft_per_step", draft_ms / median(drafted.step)}});
  result.table += fmt::format(
      "{:8} {:11} {:10.3f} {:9.4f} {:11.3f} {:11.4f} {:9.3f} {:15.3f} {:18.3f}\n", requests,
      sampling.temperature, draft_ms, median(drafted.plan), median(drafted.forward),
      median(drafted.verify), median(drafted.step), plain_ms, draft_ms / plain_ms);
}

}  // namespace

Result<BenchResult> bench_draft(engine::Engine& engine) {
  const int slots = engine.info().draft_slots;
  if (slots == 0)
    return fail("the suite draft needs --drafter, and a planner that verifies drafts");
  BenchResult result;
  result.table = fmt::format(
      "{} slots a draft; above temperature 0 with top-p 0.95\n"
      "requests temperature   draft ms   plan ms   target ms   accept ms   step ms   plain "
      "step "
      "ms   draft/plain step\n",
      slots);
  for (const sample::Params& sampling : kSamplings)
    for (const int requests : {1, 4, 8, 16}) {
      StepTimes plain, drafted;
      for (int round = 0; round < kRounds; ++round) {
        DSPARK_RETURN_IF_ERROR(time_steps(engine, requests, 0, plain, sampling));
        DSPARK_RETURN_IF_ERROR(time_steps(engine, requests, slots, drafted, sampling));
      }
      add_row(engine.info(), requests, sampling, plain, drafted, result);
    }
  return result;
}

}  // namespace dspark::apps

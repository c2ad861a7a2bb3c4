// bench --suite draft: what a drafter costs beside the steps that it serves.
#include "apps/bench.h"

namespace dspark::apps {
namespace {

constexpr int kPromptTokens = 32;
constexpr int kTokens = 64;  // context stays below 128
constexpr int kRounds = 5;   // plain and drafted steps in turns, so that both see the same machine

struct Times {
  std::vector<double> step, draft, plan, forward, verify;
};

// The steps in which `requests` requests decode, drafting at most `slots` tokens each.
Status measure(engine::Engine& engine, int requests, int slots, Times& times) {
  for (int i = 0; i < requests; ++i) {
    engine::Request request = bench_request(engine.info(), kPromptTokens, kTokens, i);
    request.draft_max = slots;
    request.sampling = {};
    DSPARK_TRY([[maybe_unused]] const auto id, engine.submit(std::move(request), {}));
  }
  while (engine.step()) {
    const engine::StepStats& step = engine.last_step();
    if (step.requests != requests || step.logit_rows != step.rows) continue;
    if (slots > 0 && step.drafted < requests * slots) continue;
    times.step.push_back(step.ms);
    times.draft.push_back(step.draft_ms);
    times.plan.push_back(step.plan_ms);
    times.forward.push_back(step.forward_ms);
    times.verify.push_back(step.verify_ms);
  }
  if (times.step.empty()) return fail("no step had {} requests with {} drafts", requests, slots);
  return {};
}

}  // namespace

Result<BenchResult> bench_draft(engine::Engine& engine) {
  const int slots = engine.info().draft_slots;
  if (slots == 0)
    return fail("the suite draft needs --drafter, and a planner that verifies drafts");
  BenchResult result;
  result.table = fmt::format(
      "{} slots a draft\nrequests   draft ms   plan ms   target ms   accept ms   step ms   plain "
      "step "
      "ms   draft/plain step\n",
      slots);
  for (const int requests : {1, 4, 8, 16}) {
    Times plain, drafted;
    for (int round = 0; round < kRounds; ++round) {
      DSPARK_RETURN_IF_ERROR(measure(engine, requests, 0, plain));
      DSPARK_RETURN_IF_ERROR(measure(engine, requests, slots, drafted));
    }
    const double plain_ms = median(plain.step), draft_ms = median(drafted.draft);
    const Json row = {{"suite", "draft"},
                      {"case", "cycle"},
                      {"requests", requests},
                      {"slots", slots},
                      {"draft_ms", draft_ms},
                      {"plan_ms", median(drafted.plan)},
                      {"forward_ms", median(drafted.forward)},
                      {"verify_ms", median(drafted.verify)},
                      {"step_ms", median(drafted.step)},
                      {"plain_step_ms", plain_ms},
                      {"draft_per_plain_step", draft_ms / plain_ms},
                      {"draft_per_step", draft_ms / median(drafted.step)}};
    result.table +=
        fmt::format("{:8} {:10.3f} {:9.4f} {:11.3f} {:11.4f} {:9.3f} {:15.3f} {:18.3f}\n", requests,
                    draft_ms, median(drafted.plan), median(drafted.forward), median(drafted.verify),
                    median(drafted.step), plain_ms, draft_ms / plain_ms);
    result.rows.push_back(row);
  }
  return result;
}

}  // namespace dspark::apps

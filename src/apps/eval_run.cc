// eval's two measurements: acceptance, with every draft verified; and time, with and without the
// drafter in turn.
#include <algorithm>
#include <chrono>

#include "apps/bench.h"
#include "apps/eval.h"
#include "apps/outcome_file.h"
#include "apps/progress.h"
#include "draft/draft.h"

namespace dspark::apps {
namespace {

using Clock = std::chrono::steady_clock;

// Acceptance does not depend on what runs beside a request as long as every draft is verified, so
// more run at a time.
constexpr int kAtATime = 8;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

size_t prompts_of(std::span<const EvalSuite> suites, size_t most) {
  size_t count = 0;
  for (const EvalSuite& suite : suites) count += std::min(most, suite.prompts.size());
  return count;
}

// Tokens and milliseconds of a group: alone, from the first id to the last; together, all.
struct Span {
  int64_t tokens = 0;
  double ms = 0;
};
Span span_of(const std::vector<engine::Completion>& group, double wall_ms) {
  Span span;
  for (const auto& completion : group) {
    span.tokens += static_cast<int64_t>(completion.ids.size()) - 1;
    span.ms = completion.decode_ms;
  }
  if (group.size() > 1) span.ms = wall_ms;
  return span;
}

bool same_ids(const std::vector<engine::Completion>& a, const std::vector<engine::Completion>& b) {
  return std::equal(a.begin(), a.end(), b.begin(),
                    [](const auto& x, const auto& y) { return x.ids == y.ids; });
}

}  // namespace

void Acceptance::add(const engine::Completion& completion, int slots) {
  ++prompts;
  tokens += static_cast<int64_t>(completion.ids.size());
  const std::span<const float> logits = completion.confidence_logits;
  const std::span<const float> confidences = completion.confidences;
  std::vector<double> chance(static_cast<size_t>(slots)), survival(static_cast<size_t>(slots));
  raw.begin_prompt();
  used.begin_prompt();
  size_t first = 0;
  for (const engine::Cycle& cycle : completion.cycles) {
    const int considered = cycle.ended ? cycle.accepted : cycle.verified;
    drafts.add(cycle.accepted + (cycle.ended ? 0 : 1), considered, cycle.accepted);
    if (confidences.empty() || cycle.drafted == 0) continue;
    const auto drafted = static_cast<size_t>(cycle.drafted);
    const size_t begin = std::exchange(first, first + drafted);
    if (cycle.verified < cycle.drafted) continue;  // not at full length
    if (!logits.empty()) {
      verify::survival(logits.subspan(begin, drafted), {}, {}, std::span(chance).first(drafted),
                       std::span(survival).first(drafted));
      raw.add(survival, considered, cycle.accepted);
    }
    double product = 1;
    for (size_t k = 0; k < drafted; ++k)
      survival[k] = product *= static_cast<double>(confidences[begin + k]);
    used.add(survival, considered, cycle.accepted);
  }
}

void Timing::add(const Timing& other) {
  groups.insert(groups.end(), other.groups.begin(), other.groups.end());
  plain_steps.insert(plain_steps.end(), other.plain_steps.begin(), other.plain_steps.end());
  draft_steps.insert(draft_steps.end(), other.draft_steps.begin(), other.draft_steps.end());
  same_text &= other.same_text;
}

engine::Request EvalRun::request(const std::vector<int32_t>& prompt) const {
  engine::Request request;
  request.prompt_ids = prompt;
  request.sampling = arguments_.sampling;
  const int64_t room = engine_.info().context - static_cast<int64_t>(prompt.size());
  request.max_tokens = static_cast<int>(std::min<int64_t>(room, arguments_.max_tokens));
  return request;
}

Status EvalRun::measure_acceptance(std::span<const EvalSuite> suites,
                                   std::vector<Acceptance>& results, OutcomeLog& outcomes) {
  const int slots = engine_.info().draft_slots;
  const auto at_a_time = static_cast<size_t>(
      arguments_.has_planner ? arguments_.concurrency : std::max(arguments_.concurrency, kAtATime));
  const size_t total = prompts_of(suites, SIZE_MAX);
  results.assign(suites.size() + (suites.size() > 1 ? 1 : 0), Acceptance(slots));
  Progress progress("acceptance", "prompts");
  Status failed;
  // Its raw confidences would be of two kinds.
  const bool looks_up = engine_.info().drafter.ends_with(draft::kLookup);
  size_t suite = 0, prompt = 0, open = 0, ended = 0;
  int64_t tokens = 0;
  const auto start = Clock::now();
  for (;;) {
    while (open < at_a_time && suite < suites.size()) {
      engine::Request next = request(suites[suite].prompts[prompt]);
      next.record_confidence = !arguments_.has_planner;
      engine::Callbacks callbacks;
      callbacks.on_finished = [&, suite, prompt](engine::Completion completion) {
        if (looks_up) completion.confidence_logits.clear(), completion.certainties.clear();
        --open, ++ended;
        tokens += static_cast<int64_t>(completion.ids.size());
        if (completion.finish == engine::Finish::kError) {
          failed = fail("{}: {}", suites[suite].file, completion.error);
          return;
        }
        if (!arguments_.record_file.empty())
          outcomes.add(suite, suites[suite].name, prompt, completion);
        results[suite].add(completion, slots);
        if (suites.size() > 1) results.back().add(completion, slots);
      };
      auto id = engine_.submit(std::move(next), std::move(callbacks));
      if (!id) return fail("{}: {}", suites[suite].file, id.message());
      ++open;
      if (++prompt == suites[suite].prompts.size()) ++suite, prompt = 0;
    }
    if (open == 0) break;
    engine_.step();
    DSPARK_RETURN_IF_ERROR(failed);
    if (interrupt_.raised()) return fail("interrupted: nothing was written");
    progress.update(static_cast<double>(ended), static_cast<double>(total),
                    fmt::format("{:.0f} tok/s", 1e3 * static_cast<double>(tokens) /
                                                    std::max(milliseconds_since(start), 1e-3)));
  }
  for (Acceptance& result : results) {
    if (result.raw.cycles() > 0) result.raw_intervals = verify::bootstrap(result.raw);
    if (result.used.cycles() > 0) result.used_intervals = verify::bootstrap(result.used);
  }
  return {};
}

Result<EvalRun::Completions> EvalRun::run_group(std::span<const std::vector<int32_t>> prompts,
                                                bool drafts, std::vector<StepTime>& steps) {
  Completions done(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    engine::Request next = request(prompts[i]);
    next.never_draft = !drafts;
    engine::Callbacks callbacks;
    callbacks.on_finished = [&done, i](const engine::Completion& completion) {
      done[i] = completion;
    };
    DSPARK_TRY([[maybe_unused]] const auto id,
               engine_.submit(std::move(next), std::move(callbacks)));
  }
  for (bool more = true; more;) {
    more = engine_.step();
    if (interrupt_.raised()) return fail("interrupted: nothing was written");
    const engine::StepStats& step = engine_.last_step();
    const bool decodes = step.rows == step.requests + step.verified;
    if (decodes && step.requests == static_cast<int>(prompts.size()))
      steps.push_back({step.rows, step.drafted > 0, step.ms, step.forward_ms, step.draft_ms});
  }
  for (const auto& completion : done)
    if (completion.finish == engine::Finish::kError) return fail("{}", completion.error);
  return done;
}

Status EvalRun::measure_time(std::span<const EvalSuite> suites, std::vector<Timing>& results) {
  const auto size = static_cast<size_t>(arguments_.concurrency);
  const auto timed = static_cast<size_t>(arguments_.timed);
  const auto total = static_cast<double>(prompts_of(suites, timed)) * 2 * arguments_.rounds;
  const bool same_always = verify::ignores_drafts(
      arguments_.engine.verify.empty() ? verify::Mode::kCoupled
                                       : verify::parse_mode(arguments_.engine.verify).take());
  results.assign(suites.size(), {});
  Progress progress("timing", "prompts");
  double ended = 0, all_tokens = 0;
  const auto began = Clock::now();
  for (size_t s = 0; s < suites.size(); ++s) {
    const std::span prompts =
        std::span(suites[s].prompts).first(std::min(timed, suites[s].prompts.size()));
    Timing& timing = results[s];
    for (size_t from = 0; from < prompts.size(); from += size) {
      const auto group = prompts.subspan(from, std::min(size, prompts.size() - from));
      std::vector<double> plain_ms, ratios;
      int64_t tokens = 0;
      for (int round = 0; round < arguments_.rounds; ++round) {
        Span spans[2];
        Completions done[2];
        for (int turn = 0; turn < 2; ++turn) {
          const int drafts = (turn + round + static_cast<int>(from / size)) % 2;
          const auto start = Clock::now();
          DSPARK_TRY(
              done[drafts],
              run_group(group, drafts == 1, drafts == 1 ? timing.draft_steps : timing.plain_steps));
          spans[drafts] = span_of(done[drafts], milliseconds_since(start));
          ended += static_cast<double>(group.size());
          for (const auto& completion : done[drafts])
            all_tokens += static_cast<double>(completion.ids.size());
          progress.update(
              ended, total,
              fmt::format("{:.0f} tok/s",
                          1e3 * all_tokens / std::max(milliseconds_since(began), 1e-3)));
        }
        if (same_always) timing.same_text &= same_ids(done[0], done[1]);
        if (spans[0].tokens == 0 || spans[1].tokens == 0) continue;  // nothing was decoded
        const auto rate = [](const Span& span) {
          return static_cast<double>(span.tokens) / std::max(span.ms, 1e-6);
        };
        plain_ms.push_back(spans[0].ms);
        ratios.push_back(rate(spans[1]) / rate(spans[0]));
        tokens = spans[0].tokens;
      }
      if (!ratios.empty()) timing.groups.push_back({median(plain_ms), median(ratios), tokens});
    }
  }
  if (suites.size() == 1) return {};
  results.emplace_back();
  for (size_t s = 0; s < suites.size(); ++s) results.back().add(results[s]);
  return {};
}

}  // namespace dspark::apps

// One run of a policy under a load.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "apps/bench_load.h"

namespace dspark::apps {
namespace {

using Clock = std::chrono::steady_clock;

// Of the order of prompts and the times of arrival.
constexpr uint64_t kSeed = 980406;
// Ctrl-C is noticed so soon while nothing is to be done.
constexpr double kLongestWait_ms = 20;

uint64_t mixed(uint64_t hash, uint64_t value) {  // FNV-1a over words
  return (hash ^ value) * 0x100000001b3u;
}

// When requests arrive, from 0 on: a Poisson process.
std::vector<double> arrival_times_ms(const LoadPoint& point, int round) {
  std::mt19937_64 random(kSeed + static_cast<uint64_t>(round));
  std::vector<double> times;
  double at_ms = 0;
  for (int i = 0; i < point.requests; ++i) {
    const double uniform = (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
    at_ms -= std::log(uniform) / point.arrivals_per_s * 1e3;
    times.push_back(at_ms);
  }
  return times;
}

}  // namespace

// The state of a run.
struct LoadDriver::Live {
  const LoadPoint& point;
  const LoadPolicy& policy;
  LoadRun run = {};
  Clock::time_point start = Clock::now();
  std::map<size_t, engine::RequestId> open = {};
  int ended = 0;  // of those that count
  Status failed = {};

  double now_ms() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  }
};

void LoadDriver::order_prompts(int round) {
  orders_.clear();
  for (const EvalSuite& suite : suites_)
    orders_.push_back(python_shuffle(suite.prompts.size(), kSeed + static_cast<uint64_t>(round)));
}

engine::Request LoadDriver::request(size_t number) const {
  const size_t suite = number % suites_.size();
  const auto& order = orders_[suite];
  engine::Request request;
  request.prompt_ids = suites_[suite].prompts[order[number / suites_.size() % order.size()]];
  const int64_t room = engine_.info().context - static_cast<int64_t>(request.prompt_ids.size());
  request.max_tokens = static_cast<int>(std::min<int64_t>(room, max_tokens_));
  return request;
}

// due_ms: when it was to be there.
void LoadDriver::submit(size_t number, double due_ms, Live& live) {
  engine::Request next = request(number);
  next.draft_max = live.policy.draft_max;
  next.never_draft = live.policy.never_drafts;
  const bool counts = number < static_cast<size_t>(live.point.requests);
  engine::Callbacks callbacks;
  callbacks.on_delta = [&live, counts, due_ms, last_ms = -1.0](const engine::Delta& delta) mutable {
    live.run.all_tokens += static_cast<int64_t>(delta.ids.size());
    if (!counts || delta.ids.empty()) return;
    const double now_ms = live.now_ms();
    if (last_ms < 0) {
      live.run.first_token_ms.push_back(now_ms - due_ms);
    } else {
      const double gap_ms = now_ms - last_ms;
      live.run.gap_ms.push_back(gap_ms);
      live.run.inter_token_ms.insert(live.run.inter_token_ms.end(), delta.ids.size(),
                                     gap_ms / static_cast<double>(delta.ids.size()));
    }
    last_ms = now_ms;
  };
  callbacks.on_finished = [&live, counts, number, due_ms,
                           suite = number % suites_.size()](const engine::Completion& done) {
    live.open.erase(number);
    if (done.finish == engine::Finish::kError && live.failed.ok())
      live.failed = fail("a request under {}: {}", live.policy.name, done.error);
    if (!counts) return;
    ++live.ended;
    live.run.tokens += static_cast<int64_t>(done.ids.size());
    live.run.suites[suite].tokens += static_cast<int64_t>(done.ids.size());
    live.run.suites[suite].seconds += (live.now_ms() - due_ms) / 1e3;
    uint64_t hash = mixed(0xcbf29ce484222325u, number);
    for (const int32_t id : done.ids) hash = mixed(hash, static_cast<uint64_t>(id));
    live.run.text += hash;  // in whatever order they end
    if (done.ids.size() > 1) live.run.user_tok_per_s.push_back(done.tok_per_s);
    for (const engine::Cycle& cycle : done.cycles) {
      ++live.run.cycles;
      live.run.cycle_tokens += cycle.accepted + (cycle.ended ? 0 : 1);
    }
  };
  const auto id = engine_.submit(std::move(next), std::move(callbacks));
  if (id.ok())
    live.open[number] = id.value();
  else
    live.failed = id.error();
}

void LoadDriver::count_step(LoadRun& run) const {
  const engine::StepStats& step = engine_.last_step();
  ++run.steps;
  run.rows += step.rows, run.request_cycles += step.decoding, run.drafted += step.drafted;
  run.verified += step.verified, run.accepted += step.accepted, run.running += step.running;
  if (!step.planned) return;
  ++run.planned_steps;
  run.planned_ms += step.ms - step.absorb_ms, run.predicted_ms += step.predicted_ms;
  run.planned_tokens += step.tokens, run.expected_tokens += step.expected_tokens;
}

Result<LoadRun> LoadDriver::run(const LoadPoint& point, const LoadPolicy& policy, int round,
                                const std::function<void(double)>& progress) {
  DSPARK_RETURN_IF_ERROR(engine_.set_planner(policy.name));
  order_prompts(round);
  const auto due_ms = point.open ? arrival_times_ms(point, round) : std::vector<double>();
  Live live{.point = point, .policy = policy};
  live.run.suites.resize(suites_.size());
  size_t next = 0;
  while (live.ended < point.requests && live.failed.ok() && !interrupt_.raised()) {
    if (point.open) {
      for (; next < due_ms.size() && due_ms[next] <= live.now_ms(); ++next)
        submit(next, due_ms[next], live);
      if (live.open.empty() && live.failed.ok()) {
        const double wait_ms = std::min(kLongestWait_ms, due_ms[next] - live.now_ms());
        std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(wait_ms));
        continue;
      }
    } else {
      for (; live.failed.ok() && live.open.size() < static_cast<size_t>(point.concurrency); ++next)
        submit(next, live.now_ms(), live);
    }
    engine_.step();
    count_step(live.run);
    progress(static_cast<double>(live.ended) / point.requests);
  }
  live.run.seconds = live.now_ms() / 1e3;
  const auto rest = live.open;  // cancel() changes it
  for (const auto& [number, id] : rest) engine_.cancel(id);
  DSPARK_RETURN_IF_ERROR(live.failed);
  if (interrupt_.raised()) return fail("interrupted: nothing was written");
  return std::move(live.run);
}

}  // namespace dspark::apps

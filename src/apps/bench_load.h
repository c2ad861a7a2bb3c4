// bench --suite load: policies of speculation side by side under the same load, in rounds.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/bench.h"
#include "apps/eval.h"
#include "apps/interrupt.h"
#include "apps/step_trace.h"

namespace dspark::apps {

struct LoadArguments {
  std::vector<std::string> data;      // empty: data/eval/*.jsonl
  std::vector<std::string> policies;  // empty: off, fixed:1 to the block's length, threshold, auto
  std::vector<int> concurrency = {1, 2, 4, 8, 16, 32, 64};
  std::vector<double> arrivals = {10, 25, 50, 75, 100, 120};  // % of the capacity; {0}: none
  int rounds = 5;
  double seconds = 5;  // about, of a cell
  int requests = 0;    // of a cell; 0: by seconds
  int max_tokens = 128;
  std::string plots;  // folder; empty: none
};

// How a cell's requests are drafted for.
struct LoadPolicy {
  std::string name;
  // Baselines pay for the slots that they verify and for no more; off pays for no drafter at all.
  int draft_max = std::numeric_limits<int>::max();
  bool never_drafts = false;
  bool baseline = false;  // off or fixed
};

// Closed: so many requests are always there. Open: they arrive at random, so many a second.
struct LoadPoint {
  bool open = false;
  int concurrency = 0;        // closed
  double percent = 0;         // open: of the capacity
  double arrivals_per_s = 0;  // open
  int requests = 0;           // that count
  std::string name() const;
};

// What the requests of one suite that count took: tokens over the time that they were there.
struct SuiteTime {
  int64_t tokens = 0;
  double seconds = 0;
  double tok_per_s() const { return static_cast<double>(tokens) / seconds; }
};

// One run of a policy at a point. In a closed loop other requests keep the load up until the last
// of those that count has ended; rates and steps are of all, the rest is of those that count.
struct LoadRun {
  double seconds = 0;      // until then
  int64_t all_tokens = 0;  // in that time
  int64_t tokens = 0;
  uint64_t text = 0;  // a hash of their ids
  std::vector<SuiteTime> suites;
  int64_t cycles = 0, cycle_tokens = 0;
  // By request; by token (a step's gap shared by its tokens); by step that gave tokens.
  std::vector<double> user_tok_per_s, first_token_ms, inter_token_ms, gap_ms;
  int64_t steps = 0, rows = 0, request_cycles = 0, drafted = 0, verified = 0, accepted = 0;
  int64_t running = 0;  // summed over the steps
  int64_t planned_steps = 0, planned_tokens = 0;
  double planned_ms = 0, predicted_ms = 0, expected_tokens = 0;

  double total_tok_per_s() const { return static_cast<double>(all_tokens) / seconds; }
};

// A policy at a point: a run a round.
struct LoadCell {
  size_t policy = 0, point = 0;
  std::vector<LoadRun> runs = {};
};

struct LoadResult {
  std::vector<std::string> suites;  // names
  std::vector<LoadPolicy> policies;
  std::vector<LoadPoint> points;  // closed ones first
  std::vector<LoadCell> cells;    // [points, policies]
  const LoadCell& cell(size_t point, size_t policy) const {
    return cells[point * policies.size() + policy];
  }
};

// bench_load_run.cc
class LoadDriver {
 public:
  // suites: the prompts, mixed by taking one of each suite in turn.
  LoadDriver(engine::Engine& engine, std::span<const EvalSuite> suites, int max_tokens)
      : engine_(engine),
        suites_(suites),
        max_tokens_(max_tokens),
        interrupt_(SecondSignal::kEndsProgram) {}

  // The same round, the same requests at the same times, whatever the policy. An error when a
  // request fails or the user interrupts; progress is told the share of its requests that ended.
  Result<LoadRun> run(const LoadPoint& point, const LoadPolicy& policy, int round,
                      const std::function<void(double)>& progress);

 private:
  struct Live;
  void submit(size_t number, double due_ms, Live& live);
  void count_step(LoadRun& run) const;
  engine::Request request(size_t number) const;
  void order_prompts(int round);

  engine::Engine& engine_;
  std::span<const EvalSuite> suites_;
  int max_tokens_;
  InterruptFlag interrupt_;
  std::vector<std::vector<size_t>> orders_;  // [suites]: the round's order of its prompts
};

// A policy that adapts against the best baseline: the one with the best median in one half of the
// rounds is what the other half's runs are divided by.
struct LoadComparison {
  size_t policy = 0;
  std::optional<size_t> point = {};         // nothing: the geometric mean over all closed points
  std::optional<size_t> suite = {};         // nothing: all tokens/s; a suite: SuiteTime's
  std::vector<std::string> baselines = {};  // picked by the even rounds, by the odd ones
  std::vector<double> ratios = {};          // by round
  double ratio = 0, low = 0, high = 0;      // median, and a 95 % bootstrap interval of it
};
// bench_load_compare.cc. Nothing with less than two rounds or without a baseline.
std::vector<LoadComparison> compare_policies(const LoadResult& result);

// What a policy gets through in all while a user has at least `user_tok_per_s`.
struct LoadFloor {
  size_t policy = 0;
  double share = 0, user_tok_per_s = 0;  // of off's speed with the fewest users
  std::optional<double> total_tok_per_s;
};
// A user's speed while at least `total_tok_per_s` get through: `level` times what the policy gets
// through with the fewest users.
struct LoadLevel {
  size_t policy = 0;
  double level = 0, total_tok_per_s = 0;
  std::optional<double> user_tok_per_s, off_user_tok_per_s;
};
// A user's speed over the best that any other policy gives at the same throughput: where it is
// least.
struct LoadEnvelope {
  size_t policy = 0;
  std::optional<double> ratio = {};  // nothing: no other gets as much through anywhere
};
struct LoadFrontier {
  std::vector<LoadFloor> floors;  // of all policies
  std::vector<LoadLevel> levels;  // of those that adapt
  std::vector<LoadEnvelope> envelopes;
};
// bench_load_frontier.cc. Of closed loops; empty without `off`.
LoadFrontier load_frontier(const LoadResult& result);

// bench_load_report.cc
BenchResult load_report(const LoadResult& result);
double percentile(std::vector<double> values, double percent);  // 0 of none
double total_rate(const LoadCell& cell);  // tokens/s of all: the median of the rounds
double user_rate(const LoadCell& cell);   // tokens/s of a user: the median of all requests

// bench_load_plots.cc
Status write_load_plots(const LoadResult& result, const std::string& folder);

// bench_load.cc. Parsed policies, or what is wrong with one of them. slots: of a block.
Result<std::vector<LoadPolicy>> parse_policies(std::vector<std::string> names, int slots);
// trace: of the first round; may be nullptr.
Result<BenchResult> bench_load(engine::Engine& engine, const LoadArguments& arguments,
                               StepTrace* trace);

}  // namespace dspark::apps

// bench --suite load: which cells there are, and their rounds.
#include "apps/bench_load.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/progress.h"

namespace dspark::apps {
namespace {

constexpr const char* kUsualData = "data/eval";
constexpr int kLongestFixed = 7;    // of the usual policies
constexpr int kWarmUp = -1;         // a round of its own
constexpr int kFewestArrivals = 4;  // of an open loop

Result<std::vector<std::string>> usual_data() {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(kUsualData, error))
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path().string());
  if (files.empty())
    return fail(
        "no prompts: there is no {}/*.jsonl here; --data FILE... takes rows {{\"turns\": [text]}} "
        "or {{\"ids\": [token ids]}}",
        kUsualData);
  std::sort(files.begin(), files.end());
  return files;
}

// Everything that is measured, cell by cell.
class LoadBench {
 public:
  LoadBench(engine::Engine& engine, const LoadArguments& arguments, StepTrace* trace,
            std::span<const EvalSuite> suites, std::vector<LoadPolicy> policies)
      : arguments_(arguments),
        trace_(trace),
        driver_(engine, suites, arguments.max_tokens),
        progress_("load", "runs") {
    for (const EvalSuite& suite : suites) result_.suites.push_back(suite.name);
    result_.policies = std::move(policies);
  }

  Result<LoadResult> measure() {
    const size_t policies = result_.policies.size(),
                 rounds = static_cast<size_t>(arguments_.rounds);
    const size_t open = arguments_.arrivals.front() > 0 ? arguments_.arrivals.size() : 0;
    total_ = (arguments_.concurrency.size() + open) * policies * rounds +
             arguments_.concurrency.size() + policies - 1;
    DSPARK_RETURN_IF_ERROR(warm_up());
    DSPARK_RETURN_IF_ERROR(measure_points(0));
    if (open > 0) {
      const size_t first = result_.points.size();
      add_open_points();
      DSPARK_RETURN_IF_ERROR(measure_points(first));
    }
    progress_.clear();
    return std::move(result_);
  }

 private:
  // The first policy at every concurrency, which says how many requests take how long; and the
  // others once, at the highest.
  Status warm_up() {
    for (const int concurrency : arguments_.concurrency) {
      LoadPoint point{.concurrency = concurrency, .requests = concurrency};
      DSPARK_TRY(const LoadRun run, run_once(point, result_.policies.front(), kWarmUp));
      const double wanted = arguments_.requests > 0
                                ? arguments_.requests
                                : concurrency * arguments_.seconds / run.seconds;
      point.requests = std::max(concurrency, static_cast<int>(std::lround(wanted)));
      result_.points.push_back(point);
    }
    const int most =
        *std::max_element(arguments_.concurrency.begin(), arguments_.concurrency.end());
    for (size_t policy = 1; policy < result_.policies.size(); ++policy) {
      const LoadPoint point{.concurrency = most, .requests = most};
      DSPARK_TRY([[maybe_unused]] const LoadRun run,
                 run_once(point, result_.policies[policy], kWarmUp));
    }
    return {};
  }

  Result<LoadRun> run_once(const LoadPoint& point, const LoadPolicy& policy, int round) {
    const std::string note = fmt::format("{}, {}", policy.name, point.name());
    auto run = driver_.run(point, policy, round, [&](double share) {
      progress_.update(static_cast<double>(done_) + share, static_cast<double>(total_), note);
    });
    ++done_;
    return run;
  }

  // All rounds of the points from `first` on. Policies take turns within a point, and begin with
  // another one each time.
  Status measure_points(size_t first) {
    const size_t policies = result_.policies.size();
    for (size_t point = first; point < result_.points.size(); ++point)
      for (size_t policy = 0; policy < policies; ++policy)
        result_.cells.push_back({.policy = policy, .point = point});
    for (int round = 0; round < arguments_.rounds; ++round) {
      for (size_t at = first; at < result_.points.size(); ++at) {
        const LoadPoint& point = result_.points[at];
        uint64_t text = 0;
        for (size_t turn = 0; turn < policies; ++turn) {
          const size_t p = (turn + at + static_cast<size_t>(round)) % policies;
          const LoadPolicy& policy = result_.policies[p];
          if (trace_ != nullptr && round == 0)
            trace_->begin_part(fmt::format("{}, {}", policy.name, point.name()));
          DSPARK_TRY(LoadRun run, run_once(point, policy, round));
          if (turn == 0) text = run.text;
          if (run.text != text)
            return fail(
                "{}: the text under {} is not that under other policies: a fault of this "
                "program",
                point.name(), policy.name);
          result_.cells[at * policies + p].runs.push_back(std::move(run));
        }
      }
      if (trace_ != nullptr) trace_->pause();
    }
    return {};
  }

  // Requests a second of the best policy at its best concurrency.
  double capacity() const {
    double best = 0;
    for (const LoadCell& cell : result_.cells) {
      std::vector<double> rates;
      for (const LoadRun& run : cell.runs)
        rates.push_back(run.total_tok_per_s() * result_.points[cell.point].requests /
                        static_cast<double>(run.tokens));
      best = std::max(best, median(std::move(rates)));
    }
    return best;
  }

  void add_open_points() {
    const double capacity_per_s = capacity();
    for (const double percent : arguments_.arrivals) {
      LoadPoint point{
          .open = true, .percent = percent, .arrivals_per_s = capacity_per_s * percent / 100};
      const auto by_time = static_cast<int>(std::lround(point.arrivals_per_s * arguments_.seconds));
      point.requests =
          arguments_.requests > 0 ? arguments_.requests : std::max(kFewestArrivals, by_time);
      result_.points.push_back(point);
    }
  }

  const LoadArguments& arguments_;
  StepTrace* trace_;
  LoadDriver driver_;
  Progress progress_;
  LoadResult result_;
  size_t done_ = 0, total_ = 0;  // runs
};

}  // namespace

std::string LoadPoint::name() const {
  return open ? fmt::format("{:g} % of capacity", percent)
              : fmt::format("{} at a time", concurrency);
}

Result<std::vector<LoadPolicy>> parse_policies(std::vector<std::string> names, int slots) {
  if (names.empty()) {
    names = {"off"};
    for (int n = 1; n <= std::min(slots, kLongestFixed); ++n)
      names.push_back(fmt::format("fixed:{}", n));
    if (slots > 0) names.insert(names.end(), {"threshold:0.5", "auto"});
  }
  std::vector<LoadPolicy> policies;
  for (const std::string& name : names) {
    LoadPolicy policy{.name = name};
    verify::PlannerSpec spec{verify::PlannerKind::kGlobal};
    if (name != "auto") {
      DSPARK_TRY(spec, verify::parse_planner(name));
      policy.name = verify::planner_name(spec);
    }
    const bool off = spec.kind == verify::PlannerKind::kOff;
    policy.never_drafts = off;
    policy.baseline = off || spec.kind == verify::PlannerKind::kFixed;
    if (spec.kind == verify::PlannerKind::kFixed) policy.draft_max = spec.length;
    if (!off && slots == 0)
      return fail("policy {}: nothing is drafted, --drafter names a drafter", name);
    if (spec.kind == verify::PlannerKind::kFixed && spec.length > slots)
      return fail("policy {}: the drafter drafts at most {} tokens", name, slots);
    for (const LoadPolicy& other : policies)
      if (other.name == policy.name) return fail("policy {} is there twice", name);
    policies.push_back(std::move(policy));
  }
  return policies;
}

Result<BenchResult> bench_load(engine::Engine& engine, const LoadArguments& arguments,
                               StepTrace* trace) {
  const engine::Info& info = engine.info();
  std::vector<std::string> files = arguments.data;
  if (files.empty()) {
    DSPARK_TRY(files, usual_data());
  }
  DSPARK_TRY(auto policies, parse_policies(arguments.policies, info.draft_slots));
  const tokenizer::PromptEncoder encoder(engine.tokenizer(), info.model);
  DSPARK_TRY(const auto suites, read_suites(files, 0, 0, encoder, info.context));
  LoadBench bench(engine, arguments, trace, suites, std::move(policies));
  DSPARK_TRY(const LoadResult result, bench.measure());
  if (!arguments.plots.empty()) DSPARK_RETURN_IF_ERROR(write_load_plots(result, arguments.plots));
  return load_report(result);
}

}  // namespace dspark::apps

// The command eval: DeepSpec's protocol (which drafts the target accepts, how true confidences are)
// and, beside it, what speculation gains on this machine.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/arguments.h"
#include "apps/interrupt.h"
#include "apps/json_lines.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"
#include "verify/verify.h"

namespace dspark::apps {

class OutcomeLog;  // outcome_file.h

struct EvalArguments {
  EngineArguments engine;
  bool has_planner = false;  // --planner was given
  std::vector<std::string> data;
  std::string json_file, plots, record_file;  // empty: none
  int limit = 0;                              // prompts of a file; 0: all
  int max_tokens = 512;
  int concurrency = 1;
  int timed = 8, rounds = 3;  // prompts of a file that are timed, and how often; 0 rounds: none
  sample::Params sampling;    // temperature and seed
};

// The prompts of a data file.
struct EvalSuite {
  // The file's name without folder and ending; the whole path where two are alike.
  std::string name = {};
  std::string file = {};
  int64_t rows = 0;                                // in the file
  std::vector<std::vector<int32_t>> prompts = {};  // the chosen rows' ids
};

inline constexpr const char* kPooled = "all";  // name of the suite of all suites

// eval_data.cc. Reads all files; where the limit (0: none) leaves rows of a file out, DeepSpec's
// shuffle chooses.
Result<std::vector<EvalSuite>> read_suites(std::span<const std::string> files, int limit,
                                           uint64_t seed, const tokenizer::PromptEncoder& encoder,
                                           int64_t context);
// The order that Python's random.Random(seed).shuffle gives 0 .. count - 1.
std::vector<size_t> python_shuffle(size_t count, uint64_t seed);

// What drafts came to.
struct Acceptance {
  explicit Acceptance(int slots) : raw(slots), used(slots) {}
  void add(const engine::Completion& completion, int slots);

  int64_t prompts = 0, tokens = 0;
  verify::AcceptanceMetrics drafts;
  // As the drafter's head says (empty where it has none), and as the engine went by them:
  // calibrated, or learned on the way.
  verify::ConfidenceSample raw, used;
  verify::QualityIntervals raw_intervals, used_intervals;
};

// A step of decoding, all requests together.
struct StepTime {
  int rows = 0;
  bool drafted = false;
  double ms = 0, forward_ms = 0, draft_ms = 0;
};
// Prompts that ran at the same time: medians over the rounds.
struct GroupTime {
  double plain_ms = 0;  // without the drafter
  double speed_up = 0;  // tokens/s with it over tokens/s without, in pairs
  int64_t tokens = 0;   // after each answer's first
};
struct Timing {
  std::vector<GroupTime> groups;
  std::vector<StepTime> plain_steps, draft_steps;
  bool same_text = true;

  void add(const Timing& other);
};

// eval_run.cc
class EvalRun {
 public:
  EvalRun(const EvalArguments& arguments, engine::Engine& engine)
      : arguments_(arguments), engine_(engine), interrupt_(SecondSignal::kEndsProgram) {}

  // Both give results by suite and, where there are several, of all pooled behind them; an error
  // when a request fails or the user interrupts. outcomes: of all prompts.
  Status measure_acceptance(std::span<const EvalSuite> suites, std::vector<Acceptance>& results,
                            OutcomeLog& outcomes);
  Status measure_time(std::span<const EvalSuite> suites, std::vector<Timing>& results);

 private:
  using Completions = std::vector<engine::Completion>;
  engine::Request request(const std::vector<int32_t>& prompt) const;
  Result<Completions> run_group(std::span<const std::vector<int32_t>> prompts, bool drafts,
                                std::vector<StepTime>& steps);

  const EvalArguments& arguments_;
  engine::Engine& engine_;
  InterruptFlag interrupt_;
};

// What eval_report.cc and eval_plots.cc tell of; by suite, the pooled one last, if there is one.
struct EvalResult {
  std::vector<EvalSuite> suites;
  std::vector<Acceptance> acceptance;
  std::vector<Timing> timing;  // empty without timed rounds
  std::string planner, timed_planner;
  const verify::ModeCalibration* calibration = nullptr;  // what made `calibrated`
};
// Speed-up of all groups: the time of all without the drafter over the time with it.
std::optional<double> speed_up(const Timing& timing);
// In steps without drafts.
struct StepCosts {
  double plain_ms = 0;  // median
  std::optional<double> draft, verify;
  struct Rows {
    int rows;
    size_t steps;
    double forward_ms;  // median
  };
  std::vector<Rows> by_rows;  // of the steps with the drafter
};
StepCosts step_costs(const Timing& timing);

std::string eval_table(const EvalResult& result, int slots);
Json eval_rows(const EvalResult& result, int slots);
Status write_eval_plots(const EvalResult& result, int slots, const std::string& folder);

}  // namespace dspark::apps

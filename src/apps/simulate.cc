// dspark simulate: what planners would do for a fleet.
#include "apps/simulate.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <limits>
#include <memory>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/progress.h"

namespace dspark::apps {
namespace {

constexpr const char* kSimulateFooter = R"(
Runs the planners of `dspark run` and `dspark serve` for a fleet that need not exist: what becomes of drafts comes
from a recording (`dspark eval --record`) or from acceptances, what steps cost from a table. Nothing is measured:
times are the table's, and contexts cost nothing.

Costs: JSON as of `dspark profile --json`, {"rows": [[rows, ms], ...], "drafts": [[requests, ms], ...]}, with
"steps_per_s" in the place of "rows" if need be; or CSV with the columns rows and ms (or steps_per_s).
Policies: off, fixed:N, threshold:P, causal, lagged, global, auto (as in the engine: requests that gain nothing
rest); and two bounds, for --concurrency: ideal (knows what a millisecond is worth in the long run), oracle (knows
what will be accepted, too). Default: off, some fixed lengths, auto and the bounds.
Loads: --concurrency, as many requests at all times; or --arrivals, random at these rates; or --trace, CSV or
JSON Lines of at_ms and, where they differ, prompt_tokens and tokens.
Tables go to standard output, --json FILE has more (docs/json.md), --plots DIR has frontier.svg, throughput.svg and
budget.svg. docs/simulate.md has examples with their results.

Examples:
  dspark simulate --acceptance 0.8 --costs costs.json
  dspark eval --drafter drafter.gguf --data chat.jsonl --rounds 0 --record outcomes.jsonl
  dspark simulate --outcomes outcomes.jsonl --costs costs.json --concurrency 1,4,16,64 --plots plots
  dspark simulate --acceptance 0.92,0.9 0.7,0.6 --costs gpu.csv --draft-share 0.1 --policies off,fixed:1,auto
  dspark simulate --acceptance 0.8 --costs gpu.csv --ranks 8 --policies fixed:3,lagged --arrivals 20,40,80
)";

simulate::Agreement agreement_of(const std::string& name) {
  if (name == "min") return simulate::Agreement::kMinimum;
  return name == "max" ? simulate::Agreement::kMaximum : simulate::Agreement::kMean;
}

void run_all(const SimulateArguments& arguments, Simulation& simulation) {
  const simulate::Costs costs(simulation.costs);
  const simulate::Setup setup{.recording = &simulation.recording,
                              .costs = &costs,
                              .lag = arguments.lag,
                              .ranks = arguments.ranks,
                              .agreement = agreement_of(arguments.agree),
                              .prefill_chunk = arguments.prefill_chunk,
                              .seed = arguments.seed};
  Progress progress("simulating", "runs");
  const size_t total = simulation.loads.size() * simulation.policies.size();
  size_t done = 0;
  for (const SimulatedLoad& load : simulation.loads) {
    auto& row = simulation.figures.emplace_back();
    for (const simulate::Policy& policy : simulation.policies) {
      const simulate::ClosedLoop loop{load.concurrency, arguments.cycles, arguments.prompt_tokens,
                                      arguments.tokens};
      row.push_back(load.concurrency > 0
                        ? simulate::run_closed(setup, policy, loop)
                        : simulate::run_open(setup, policy, load.arrivals, arguments.running));
      progress.update(static_cast<double>(++done), static_cast<double>(total));
    }
  }
}

Status simulate_all(const SimulateArguments& arguments) {
  DSPARK_TRY(Simulation simulation, read_simulation(arguments));
  if (!arguments.plots.empty()) {
    std::error_code error;
    std::filesystem::create_directories(arguments.plots, error);
    if (error) return fail("{}: cannot make the folder: {}", arguments.plots, error.message());
  }
  run_all(arguments, simulation);
  DSPARK_RETURN_IF_ERROR(write_stdout(simulation_table(simulation)));
  if (!arguments.plots.empty())
    DSPARK_RETURN_IF_ERROR(write_simulation_plots(simulation, arguments.plots));
  if (arguments.json_file.empty()) return {};
  return write_file_atomically(arguments.json_file,
                               simulation_json(simulation, arguments).dump(1) + "\n");
}

void add_input(CLI::App& app, SimulateArguments& arguments) {
  constexpr const char* kGroup = "What becomes of drafts, and what steps cost";
  CLI::Option* outcomes =
      app.add_option("--outcomes", arguments.outcomes, "A recording of `dspark eval --record`")
          ->check(CLI::ExistingFile)
          ->type_name("FILE")
          ->group(kGroup);
  CLI::Option* acceptance =
      app.add_option("--acceptance", arguments.acceptance,
                     "In place of one: slots' chances, given those before, as in 0.9,0.8,0.8; "
                     "one number is for 7 slots; several lists are kinds of requests, in turns")
          ->type_name("X,...")
          ->group(kGroup)
          ->excludes(outcomes);
  app.add_option("--spread", arguments.spread,
                 "How far chances lie from their mean: 0, all alike, to 0.95, nearly always "
                 "certain (default 0.4)")
      ->check(real_number(0, simulate::kMostSpread))
      ->type_name("X")
      ->group(kGroup)
      ->needs(acceptance);
  CLI::Option* verify =
      app.add_option("--verify", arguments.verify, "Which planners are legal (default: coupled)");
  allow_words(verify, {"greedy", "coupled", "rejection", "block"});
  verify->group(kGroup)->needs(acceptance);
  app.add_option("--costs", arguments.costs, "What steps take")
      ->required()
      ->check(CLI::ExistingFile)
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--draft-share", arguments.draft_share,
                 "A draft takes this share of a step of one row for each request drafted for "
                 "(default: the table's drafts, or nothing)")
      ->check(real_number(0, 1000))
      ->type_name("X")
      ->group(kGroup);
}

void add_load(CLI::App& app, SimulateArguments& arguments) {
  constexpr const char* kGroup = "Load";
  constexpr int kMost = 1 << 24;
  const auto count = [&](const char* name, int& value, int low, int high, const char* text) {
    return app.add_option(name, value, text)
        ->check(whole_number(low, high))
        ->type_name("N")
        ->group(kGroup);
  };
  CLI::Option* closed = app.add_option("--concurrency", arguments.concurrency,
                                       "Requests at all times (default: 1, 2, 4, .. 256)")
                            ->delimiter(',')
                            ->check(whole_number(1, 1 << 20))
                            ->type_name("N,...")
                            ->group(kGroup);
  CLI::Option* open =
      app.add_option("--arrivals", arguments.arrivals, "Requests a second, at random times")
          ->delimiter(',')
          ->check(real_above(0))
          ->type_name("X,...")
          ->group(kGroup)
          ->excludes(closed);
  CLI::Option* trace = app.add_option("--trace", arguments.trace, "Requests as of a file")
                           ->check(CLI::ExistingFile)
                           ->type_name("FILE")
                           ->group(kGroup)
                           ->excludes(closed)
                           ->excludes(open);
  app.add_option("--cycles", arguments.cycles, "Of a run with --concurrency (default 200000)")
      ->check(whole_number(1000, int64_t{1} << 40))
      ->type_name("N")
      ->group(kGroup)
      ->excludes(open)
      ->excludes(trace);
  count("--requests", arguments.requests, 1, kMost, "Of a run with --arrivals (default 1000)")
      ->needs(open);
  count("--slots", arguments.running, 1, 1 << 20,
        "With --arrivals or --trace: requests in a rank's batch (default 64); more wait");
  count("--prompt-tokens", arguments.prompt_tokens, 0, kMost,
        "Of a prompt (default 0: prompts take no time)");
  count("--tokens", arguments.tokens, 1, kMost, "Of an answer (default: as recorded, or 256)");
  count("--prefill-chunk", arguments.prefill_chunk, 1, kMost,
        "Most prompt rows of a rank's step (default 256)");
}

void add_policies(CLI::App& app, SimulateArguments& arguments) {
  constexpr const char* kGroup = "Policies";
  app.add_option("--policies", arguments.policies, "What decides about drafts")
      ->delimiter(',')
      ->type_name("NAME,...")
      ->group(kGroup);
  app.add_option("--lag", arguments.lag,
                 "lagged counts by confidences of so many cycles ago (default 2)")
      ->check(whole_number(1, 1000))
      ->type_name("N")
      ->group(kGroup);
  CLI::Option* ranks = app.add_option("--ranks", arguments.ranks,
                                      "Ranks that hold requests of their own and go step by step "
                                      "together, with one budget (default 1)")
                           ->check(whole_number(1, 4096))
                           ->type_name("N")
                           ->group(kGroup);
  CLI::Option* agree = app.add_option("--agree", arguments.agree,
                                      "How it comes of the ranks' own budgets (default: mean)");
  allow_words(agree, {"min", "mean", "max"});
  agree->group(kGroup)->needs(ranks);
  app.add_option("--seed", arguments.seed, "Of all that is random (default 980406)")
      ->check(seed_number())
      ->type_name("S")
      ->group(kGroup);
}

// What does not go together; empty when all does.
std::string conflict(const CLI::App& app, const SimulateArguments& arguments) {
  if (arguments.outcomes.empty() && arguments.acceptance.empty())
    return "one of --outcomes and --acceptance is needed";
  const bool closed = arguments.arrivals.empty() && arguments.trace.empty();
  if (closed && app.count("--slots") > 0)
    return "--slots is for --arrivals and --trace: --concurrency says how many run";
  if (!arguments.trace.empty() && !arguments.plots.empty())
    return "--plots needs several loads: --concurrency or --arrivals";
  return {};
}

}  // namespace

Command add_simulate(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("simulate", "Planners over recorded outcomes and a table of costs");
  app->footer(kSimulateFooter);
  auto arguments = std::make_shared<SimulateArguments>();
  add_input(*app, *arguments);
  add_load(*app, *arguments);
  add_policies(*app, *arguments);
  app->add_option("--json", arguments->json_file, "Write the figures as JSON")->type_name("FILE");
  app->add_option("--plots", arguments->plots, "Write plots as SVG files into this folder")
      ->type_name("DIR");
  return {app, [app, arguments]() -> int {
            if (const std::string message = conflict(*app, *arguments); !message.empty())
              return report(kUsage, message);
            const Status done = simulate_all(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps

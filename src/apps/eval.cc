// dspark eval: how much of a drafter's blocks the target accepts, and what that gains.
#include "apps/eval.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <limits>
#include <memory>

#include "apps/bench.h"
#include "apps/command.h"
#include "apps/outcome_file.h"
#include "apps/run_session.h"
#include "draft/draft.h"

namespace dspark::apps {
namespace {

constexpr const char* kEvalFooter = R"(
Data files are prompt files as of `dspark run --prompts`; of a row the first turn is sent, as a lone user
message in the model's chat template. Two measurements: acceptance and confidence with every draft verified
(--planner chooses another way, and then confidences are not scored), and tokens a second with and without
the drafter in turn, with --planner, else auto. The table goes to standard output, --json FILE has the same
as rows (docs/json.md), --plots DIR has acceptance.svg and reliability-*.svg. Confidences are scored as the
drafter's head gives them, raw, and as the engine goes by them: calibrated (`dspark calibrate`), or learned.

Examples:
  dspark eval --drafter ngram --data prompts.jsonl
  dspark eval --drafter drafter.gguf --data chat.jsonl code.jsonl --limit 50 --json eval.json --plots plots
  dspark eval --drafter drafter.gguf --data chat.jsonl --temperature 1 --rounds 0
  dspark eval --drafter drafter.gguf --data chat.jsonl --rounds 0 --record outcomes.jsonl
)";

// Of the drafter's calibrations the one that is used.
Json calibration_json(const verify::ModeCalibration* calibration) {
  if (calibration == nullptr) return nullptr;
  return {{"mode", verify::mode_name(calibration->mode)},
          {"temperature", calibration->temperature},
          {"form", verify::form_name(verify::form_of(calibration->calibration))}};
}

Json protocol_json(const EvalArguments& arguments, const engine::Info& info,
                   const EvalResult& result) {
  const bool sampled = arguments.sampling.temperature > 0;
  return {{"planner", result.planner},
          {"verify", info.verify == "coupled" && !sampled ? "greedy" : info.verify},
          {"temperature", arguments.sampling.temperature},
          {"seed", arguments.sampling.seed},
          {"calibration", calibration_json(result.calibration)},
          {"max_tokens", arguments.max_tokens},
          {"limit", arguments.limit > 0 ? Json(arguments.limit) : Json(nullptr)},
          {"concurrency", arguments.concurrency},
          {"timed", arguments.rounds > 0 ? arguments.timed : 0},
          {"rounds", arguments.timed > 0 ? arguments.rounds : 0}};
}

// An error of a folder or file that can't be written comes before the work.
Status prepare_outputs(const EvalArguments& arguments, std::vector<AtomicFile>& json) {
  if (!arguments.plots.empty()) {
    std::error_code error;
    std::filesystem::create_directories(arguments.plots, error);
    if (error) return fail("{}: cannot make the folder: {}", arguments.plots, error.message());
  }
  if (!arguments.record_file.empty()) {
    DSPARK_TRY([[maybe_unused]] const auto probe, AtomicFile::create(arguments.record_file));
  }
  if (arguments.json_file.empty()) return {};
  DSPARK_TRY(AtomicFile file, AtomicFile::create(arguments.json_file));
  json.push_back(std::move(file));
  return {};
}

Status eval(const EvalArguments& arguments) {
  std::vector<AtomicFile> json_file;
  DSPARK_RETURN_IF_ERROR(prepare_outputs(arguments, json_file));
  engine::Options options = arguments.engine.to_options();
  options.max_running = std::max(arguments.concurrency, 8);
  options.prefix_bytes = 0;  // what is timed is computed, with and without the drafter
  if (!arguments.has_planner) options.planner = "full";
  DSPARK_TRY(const auto engine, load_engine(arguments.engine, std::move(options)));
  const engine::Info& info = engine->info();
  DSPARK_RETURN_IF_ERROR(sample::validate(arguments.sampling, info.vocab));
  if (info.draft_slots == 0) return fail("{}: nothing is drafted", info.drafter);

  EvalResult result;
  const tokenizer::PromptEncoder encoder(engine->tokenizer(), info.model);
  DSPARK_TRY(result.suites, read_suites(arguments.data, arguments.limit, arguments.sampling.seed,
                                        encoder, info.context));
  result.planner = info.planner;
  result.calibration = engine->calibration(arguments.sampling);
  EvalRun run(arguments, *engine);
  OutcomeLog outcomes;
  DSPARK_RETURN_IF_ERROR(run.measure_acceptance(result.suites, result.acceptance, outcomes));
  if (!arguments.record_file.empty())
    DSPARK_RETURN_IF_ERROR(write_file_atomically(
        arguments.record_file,
        outcomes.text(info, arguments.sampling.temperature, result.calibration)));
  if (!arguments.has_planner) DSPARK_RETURN_IF_ERROR(engine->set_planner("auto"));
  result.timed_planner = info.planner;
  if (arguments.rounds > 0 && arguments.timed > 0)
    DSPARK_RETURN_IF_ERROR(run.measure_time(result.suites, result.timing));
  if (result.suites.size() > 1) {
    EvalSuite pooled{.name = kPooled};
    for (const EvalSuite& suite : result.suites) pooled.rows += suite.rows;
    result.suites.push_back(std::move(pooled));
  }

  const Json protocol = protocol_json(arguments, info, result);
  const std::string heading =
      fmt::format("{} with drafter {}, {} slots; {}, temperature {}, planner {}\n", info.model,
                  info.drafter, info.draft_slots, protocol["verify"].get<std::string>(),
                  arguments.sampling.temperature, result.planner);
  DSPARK_RETURN_IF_ERROR(write_stdout(heading + eval_table(result, info.draft_slots)));
  for (size_t s = 0; s < result.timing.size(); ++s)
    if (!result.timing[s].same_text)
      return fail("{}: the text with drafts is not the text without: a fault of this program",
                  result.suites[s].name);
  if (!arguments.plots.empty())
    DSPARK_RETURN_IF_ERROR(write_eval_plots(result, info.draft_slots, arguments.plots));
  if (json_file.empty()) return {};
  const Json json = {
      {"version", DSPARK_VERSION},
      {"machine", machine_json(info)},
      {"model", model_json(info)},
      {"drafter",
       {{"name", info.drafter}, {"slots", info.draft_slots}, {"weight_bytes", info.drafter_bytes}}},
      {"protocol", protocol},
      {"rows", eval_rows(result, info.draft_slots)}};
  const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  DSPARK_RETURN_IF_ERROR(json_file.front().write(text.data(), text.size()));
  return json_file.front().commit();
}

// What does not go together; empty when all does.
std::string conflict(const EvalArguments& arguments) {
  if (arguments.engine.drafter == "none") return "--drafter none drafts nothing to evaluate";
  if (arguments.engine.planner == "off") return "--planner off drafts nothing to evaluate";
  if (arguments.engine.draft_max == 0) return "--draft-max 0 drafts nothing to evaluate";
  if (!arguments.record_file.empty() && arguments.has_planner)
    return "--record needs every draft verified: leave --planner out";
  const std::string& verify = arguments.engine.verify;
  if (verify == "greedy" && arguments.sampling.temperature > 0)
    return "--verify greedy needs --temperature 0";
  return {};
}

void add_options(CLI::App& app, EvalArguments& arguments) {
  constexpr const char* kGroup = "Evaluation";
  constexpr int kMost = std::numeric_limits<int32_t>::max();
  const auto count = [&](const char* name, int& value, int low, int high, const char* text) {
    app.add_option(name, value, text)
        ->check(whole_number(low, high))
        ->type_name("N")
        ->group(kGroup);
  };
  app.add_option("--data", arguments.data, "Prompt files, each a suite of the table")
      ->required()
      ->type_name("FILE...")
      ->group(kGroup);
  count("--limit", arguments.limit, 1, kMost,
        "Prompts of a file (default: all). Of more rows as many are chosen, always the same: the "
        "first after Python's random.Random(seed).shuffle, as DeepSpec does");
  count("--max-tokens", arguments.max_tokens, 1, kMost,
        "Most tokens of an answer (default 512; DeepSpec: 2048)");
  app.add_option("--temperature", arguments.sampling.temperature,
                 "0 (default): the most likely; DeepSpec evaluates at 1")
      ->check(real_number(0, 1000))
      ->type_name("X")
      ->group(kGroup);
  app.add_option("--seed", arguments.sampling.seed, "Of the noise and the choice (default 980406)")
      ->check(seed_number())
      ->type_name("S")
      ->group(kGroup);
  count("--concurrency", arguments.concurrency, 1, 4096, "Prompts timed together (default 1)");
  count("--timed", arguments.timed, 0, kMost, "Prompts of a file that are timed (default 8)");
  count("--rounds", arguments.rounds, 0, 1000,
        "How often each is timed, with and without the drafter in turn (default 3; 0: no timing)");
  app.add_option("--record", arguments.record_file,
                 "Write what became of every draft, for `dspark simulate`")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--json", arguments.json_file, "Write the figures as JSON")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--plots", arguments.plots, "Write plots as SVG files into this folder")
      ->type_name("DIR")
      ->group(kGroup);
}

}  // namespace

Command add_eval(CLI::App& program) {
  CLI::App* app = program.add_subcommand("eval", "Measure what a drafter is worth");
  app->footer(kEvalFooter);
  auto arguments = std::make_shared<EvalArguments>();
  arguments->sampling.seed = 980406;
  add_engine(*app, arguments->engine);
  add_memory(*app, arguments->engine);
  add_speculation(*app, arguments->engine);
  app->get_option("--drafter")->required();
  add_options(*app, *arguments);
  return {app, [app, arguments]() -> int {
            arguments->has_planner = app->count("--planner") > 0;
            if (const std::string message = conflict(*arguments); !message.empty())
              return report(kUsage, message);
            std::signal(SIGPIPE, SIG_IGN);
            const Status done = eval(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps

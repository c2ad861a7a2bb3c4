// dspark calibrate: makes a drafter's confidences true frequencies, mode by mode.
#include "apps/calibrate.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <limits>

#include "apps/command.h"
#include "apps/content_hash.h"
#include "apps/progress.h"
#include "installed/installed.h"

namespace dspark::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCalibrateFooter = R"(
Data files are prompt files as of `dspark run --prompts`, of prompts that the drafter was not trained on; of
a row the first turn is sent. For each mode every draft is verified, and raw confidences and outcomes go to
a work file beside the result (OUT.calibrate-MODE.jsonl), line by line: a run that was ended goes on where it
was when the same command is given again, and its result has the same bytes. Half the prompts are held out
to score the calibration; what is stored is fitted to all. The result holds the drafter's other calibrations
too; the work files are removed when it is written. The table goes to standard output, --json FILE has the
same (docs/json.md), --plots DIR has reliability-MODE-before.svg and -after.svg.

Examples:
  dspark calibrate --drafter drafter.gguf --data held-back.jsonl
  dspark calibrate --drafter checkpoint --data chat.jsonl code.jsonl --out drafter.gguf --plots plots
  dspark calibrate --drafter drafter.gguf --data chat.jsonl --modes coupled --temperature 0.7
)";

// The drafter can be calibrated, and everything can be written: errors that come before the work.
Status check_drafter(const CalibrateArguments& arguments, const draft::DrafterFile& drafter) {
  if (!drafter.config().confidence_head)
    return fail("{}: it has no confidence head: there is nothing to calibrate",
                drafter.config().name);
  if (arguments.out.empty() && !drafter.is_own_form())
    return fail(
        "{}: only files of our own form hold calibrations: name one to write with --out FILE.gguf",
        drafter.config().name);
  return {};
}

Status check_writable(const std::string& file) {
  if (file.empty()) return {};
  std::error_code error;
  if (fs::is_directory(file, error)) return fail("{}: expected a file to write", file);
  DSPARK_TRY([[maybe_unused]] const AtomicFile probe, AtomicFile::create(file));
  return {};
}

Status check_outputs(const CalibrateArguments& arguments, const CalibrationSource& source) {
  DSPARK_RETURN_IF_ERROR(check_writable(source.out.string()));
  DSPARK_RETURN_IF_ERROR(check_writable(arguments.json_file));
  if (arguments.plots.empty()) return {};
  std::error_code error;
  fs::create_directories(arguments.plots, error);
  if (error) return fail("{}: cannot make the folder: {}", arguments.plots, error.message());
  return {};
}

Result<CalibrationSource> describe(const CalibrateArguments& arguments,
                                   const draft::DrafterFile& drafter) {
  CalibrationSource source;
  DSPARK_TRY(source.model, find_model(arguments.engine.model));
  source.drafter = arguments.engine.drafter;
  // The file itself, not a link to it, is written anew.
  std::error_code ignored;
  source.out = arguments.out.empty() ? fs::weakly_canonical(source.drafter, ignored)
                                     : fs::path(arguments.out);
  source.slots = drafter.config().slots();
  for (const std::string& file : arguments.data) {
    DSPARK_TRY(std::string hash, hash_of_file(file));
    source.data.push_back({name_of(file), std::move(hash)});
  }
  DSPARK_TRY(source.model_hash, hash_of_model(source.model));
  source.drafter_fingerprint = draft::fingerprint(drafter);
  return source;
}

Status record_all(const CalibrateArguments& arguments, CalibrationSource& source,
                  std::vector<ModeResult>& modes) {
  const InterruptFlag interrupt(SecondSignal::kEndsProgram);
  int64_t context = 0;
  for (ModeResult& mode : modes) {
    std::unique_ptr<engine::Engine> engine;
    const auto need_engine = [&]() -> Status {
      if (engine != nullptr) return {};
      DSPARK_TRY(engine, recording_engine(arguments, mode.mode));
      return {};
    };
    if (source.prompts.empty()) {
      DSPARK_RETURN_IF_ERROR(need_engine());
      context = engine->info().context;
      const tokenizer::PromptEncoder encoder(engine->tokenizer(), engine->info().model);
      DSPARK_TRY(auto suites,
                 read_suites(arguments.data, arguments.limit, arguments.seed, encoder, context));
      for (EvalSuite& suite : suites)
        std::move(suite.prompts.begin(), suite.prompts.end(), std::back_inserter(source.prompts));
    }
    DSPARK_TRY(mode.recordings, open_recordings(arguments, source, mode, context));
    if (mode.recordings->complete()) continue;
    DSPARK_RETURN_IF_ERROR(need_engine());
    DSPARK_RETURN_IF_ERROR(record(arguments, source, *engine, interrupt, mode));
  }
  return {};
}

draft::StoredCalibration stored(const CalibrationSource& source, const ModeResult& mode) {
  return {.fit = {mode.mode, static_cast<double>(mode.temperature), mode.choice->calibration},
          .target = name_of(source.model),
          .target_xxh3 = source.model_hash,
          .data = source.data,
          .prompts = static_cast<int64_t>(source.prompts.size()),
          .cycles = mode.cycles,
          .program = DSPARK_VERSION};
}

// The drafter's own calibrations with these in their places, in one order.
std::vector<draft::StoredCalibration> merged(const draft::DrafterFile& drafter,
                                             const CalibrationSource& source,
                                             const std::vector<ModeResult>& modes) {
  std::vector<draft::StoredCalibration> all = drafter.config().calibrations;
  for (const ModeResult& mode : modes) {
    draft::StoredCalibration fresh = stored(source, mode);
    std::erase_if(all, [&](const draft::StoredCalibration& old) {
      return old.fit.mode == fresh.fit.mode && old.fit.temperature == fresh.fit.temperature;
    });
    all.push_back(std::move(fresh));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::pair(a.fit.mode, a.fit.temperature) < std::pair(b.fit.mode, b.fit.temperature);
  });
  return all;
}

Status write_json(const CalibrateArguments& arguments, const CalibrationSource& source,
                  const std::vector<ModeResult>& modes) {
  if (arguments.json_file.empty()) return {};
  Json rows = Json::array(), data = Json::array();
  for (const ModeResult& mode : modes)
    rows.push_back(calibration_row(mode, source.prompts.size(), source.slots));
  for (const auto& file : source.data) data.push_back({{"name", file.name}, {"xxh3", file.xxh3}});
  const Json json = {{"version", DSPARK_VERSION},
                     {"model", {{"name", name_of(source.model)}, {"xxh3", source.model_hash}}},
                     {"drafter",
                      {{"name", name_of(source.drafter)},
                       {"fingerprint", source.drafter_fingerprint},
                       {"slots", source.slots}}},
                     {"data", std::move(data)},
                     {"protocol",
                      {{"seed", arguments.seed},
                       {"max_tokens", arguments.max_tokens},
                       {"limit", arguments.limit > 0 ? Json(arguments.limit) : Json(nullptr)}}},
                     {"rows", std::move(rows)}};
  return write_file_atomically(arguments.json_file,
                               json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

Status calibrate(const CalibrateArguments& arguments) {
  DSPARK_TRY(const auto drafter, draft::DrafterFile::open(arguments.engine.drafter));
  DSPARK_RETURN_IF_ERROR(check_drafter(arguments, drafter));
  DSPARK_TRY(CalibrationSource source, describe(arguments, drafter));
  DSPARK_RETURN_IF_ERROR(check_outputs(arguments, source));
  std::vector<ModeResult> modes;
  for (const std::string& name : arguments.modes) {
    const verify::Mode mode = verify::parse_mode(name).take();
    modes.push_back({mode, mode == verify::Mode::kGreedy ? 0 : arguments.temperature});
  }
  DSPARK_RETURN_IF_ERROR(record_all(arguments, source, modes));

  std::string text = fmt::format("{} with drafter {}, {} slots\n", name_of(source.model),
                                 name_of(source.drafter), source.slots);
  {
    Progress progress("fitting", "modes");
    for (size_t i = 0; i < modes.size(); ++i) {
      DSPARK_RETURN_IF_ERROR(fit(source, modes[i]));
      text += calibration_table(modes[i], source.prompts.size(), source.slots);
      progress.update(static_cast<double>(i + 1), static_cast<double>(modes.size()));
    }
  }
  ThreadPool pool(1);
  draft::WriteOptions options;
  options.calibrations = merged(drafter, source, modes);
  DSPARK_TRY(const auto report, draft::write_drafter(drafter, source.out, options, pool));
  for (const std::string& note : report.notes) log_warning("{}", note);
  if (!arguments.plots.empty())
    for (const ModeResult& mode : modes)
      DSPARK_RETURN_IF_ERROR(write_calibration_plots(mode, source.slots, arguments.plots));
  DSPARK_RETURN_IF_ERROR(write_json(arguments, source, modes));
  DSPARK_RETURN_IF_ERROR(write_stdout(text));
  for (ModeResult& mode : modes) DSPARK_RETURN_IF_ERROR(mode.recordings->remove());
  return {};
}

// What does not go together; empty when all does.
std::string conflict(const CalibrateArguments& arguments) {
  if (!arguments.out.empty() && !arguments.out.ends_with(".gguf"))
    return fmt::format("--out {}: calibrations are held by our own form, a file named *.gguf",
                       arguments.out);
  for (size_t i = 0; i < arguments.modes.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (arguments.modes[i] == arguments.modes[j])
        return fmt::format("--modes names {} twice", arguments.modes[i]);
  return {};
}

void add_options(CLI::App& app, CalibrateArguments& arguments) {
  constexpr const char* kGroup = "Calibration";
  constexpr int kMost = std::numeric_limits<int32_t>::max();
  const auto count = [&](const char* name, int& value, int high, const char* text) {
    app.add_option(name, value, text)->check(whole_number(1, high))->type_name("N")->group(kGroup);
  };
  app.add_option("--drafter", arguments.engine.drafter, "A drafter's GGUF file or directory")
      ->required()
      ->check(CLI::ExistingPath)
      ->type_name("PATH")
      ->group(kGroup);
  app.add_option("--data", arguments.data, "Prompt files, of prompts that were held back")
      ->required()
      ->type_name("FILE...")
      ->group(kGroup);
  CLI::Option* modes =
      app.add_option("--modes", arguments.modes, "Modes of verification (default: all three)");
  allow_words(modes->delimiter(','), {"greedy", "coupled", "rejection"});
  modes->type_name("MODE,...")->group(kGroup);
  app.add_option("--temperature", arguments.temperature,
                 "Of coupled and rejection (default 1; greedy's is 0)")
      ->check(real_above(0))
      ->check(real_number(0, 1000))
      ->type_name("X")
      ->group(kGroup);
  count("--max-tokens", arguments.max_tokens, kMost, "Most tokens of an answer (default 512)");
  count("--limit", arguments.limit, kMost,
        "Prompts of a file (default: all), chosen as `dspark eval` does");
  count("--concurrency", arguments.concurrency, 4096, "Prompts answered together (default 8)");
  app.add_option("--seed", arguments.seed, "Of the noise and the choice (default 980406)")
      ->check(seed_number())
      ->type_name("S")
      ->group(kGroup);
  app.add_option("--out", arguments.out, "Write this file instead of the drafter's own")
      ->type_name("FILE.gguf")
      ->group(kGroup);
  app.add_option("--json", arguments.json_file, "Write the figures as JSON")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--plots", arguments.plots, "Write reliability plots as SVG into this folder")
      ->type_name("DIR")
      ->group(kGroup);
}

}  // namespace

Command add_calibrate(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("calibrate", "Make a drafter's confidences true frequencies");
  app->footer(kCalibrateFooter);
  auto arguments = std::make_shared<CalibrateArguments>();
  add_engine(*app, arguments->engine);
  add_memory(*app, arguments->engine);
  add_options(*app, *arguments);
  return {app, [arguments]() -> int {
            if (const std::string message = conflict(*arguments); !message.empty())
              return report(kUsage, message);
            std::signal(SIGPIPE, SIG_IGN);
            const Status done = calibrate(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps

// dspark profile: what rows and drafts cost on this machine.
#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "apps/arguments.h"
#include "apps/bench.h"
#include "apps/command.h"
#include "apps/cost_file.h"
#include "apps/interrupt.h"
#include "apps/progress.h"
#include "apps/run_session.h"
#include "apps/step_times.h"
#include "draft/draft.h"
#include "installed/installed.h"

namespace dspark::apps {
namespace {

constexpr const char* kProfileFooter = R"(
Times steps of 1 to 64 rows, and with --drafter (or the model's own, where one is installed) drafts for 1 to 64
requests, in turns. `dspark run` and the other commands then plan with these times from the first
step on, as long as machine, threads, model, drafter and program are the same; without a profile they begin with
a usual shape and learn as they go.

Examples:
  dspark profile
  dspark profile model.gguf --drafter drafter.gguf --threads 2 --json costs.json
)";

constexpr int kProfileRounds = 3;
constexpr int kRows[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64};
constexpr int kRequests[] = {1, 2, 4, 8, 16, 32, 64};
constexpr int kMostRequests = 64;

struct ProfileArguments {
  EngineArguments engine;
  std::string json_file;
};

struct Measured {
  std::map<int, StepTimes> plain, drafted;  // by rows, by requests
};

// Everything in turns, so that all sees the same machine.
Result<Measured> measure(engine::Engine& engine) {
  Measured measured;
  const InterruptFlag interrupt(SecondSignal::kEndsProgram);
  // Look-up takes no time worth a curve, and finds nothing in random prompts.
  const int slots = engine.info().drafter == "ngram" ? 0 : engine.info().draft_slots;
  const size_t all = kProfileRounds * (std::size(kRows) + (slots > 0 ? std::size(kRequests) : 0));
  Progress progress("profile", "measurements");
  size_t done = 0;
  const auto time = [&](int requests, int drafts, StepTimes& times) -> Status {
    if (interrupt.raised()) return fail("interrupted: nothing was written");
    DSPARK_RETURN_IF_ERROR(time_steps(engine, requests, drafts, times));
    progress.update(static_cast<double>(++done), static_cast<double>(all));
    return {};
  };
  for (int round = 0; round < kProfileRounds; ++round) {
    for (const int rows : kRows) DSPARK_RETURN_IF_ERROR(time(rows, 0, measured.plain[rows]));
    if (slots == 0) continue;
    for (const int requests : kRequests)
      DSPARK_RETURN_IF_ERROR(time(requests, slots, measured.drafted[requests]));
  }
  return measured;
}

// A step without its drafts; never less for more.
std::vector<verify::CostCurve::Point> curve(const std::map<int, StepTimes>& times,
                                            std::vector<double> StepTimes::*of) {
  std::vector<verify::CostCurve::Point> points;
  for (const auto& [count, t] : times) {
    const double ms = median(t.*of);
    points.push_back({count, points.empty() ? ms : std::max(ms, points.back().ms)});
  }
  return points;
}

std::string table_of(const verify::CostPoints& points) {
  std::string text = "rows   step ms   steps of one row\n";
  const double one = points.rows[0].ms;
  for (const auto& [count, ms] : points.rows)
    text += fmt::format("{:4} {:9.3f} {:18.2f}\n", count, ms, ms / one);
  if (points.drafts.empty()) return text;
  text += "\nrequests   draft ms   steps of one row\n";
  for (const auto& [count, ms] : points.drafts)
    text += fmt::format("{:8} {:10.3f} {:18.2f}\n", count, ms, ms / one);
  return text;
}

Status profile(ProfileArguments arguments) {
  arguments.engine.take_own_drafter();
  engine::Options options = arguments.engine.to_options();
  options.drafter = draft::without_lookup(options.drafter);
  options.max_running = kMostRequests;
  options.prefix_bytes = 0;
  options.planner = "full";
  DSPARK_TRY(const auto path, find_model(arguments.engine.model));
  const Json key = cost_key(path, options);
  DSPARK_TRY(const auto engine, load_engine(arguments.engine, std::move(options)));
  DSPARK_TRY(const Measured measured, measure(*engine));
  const verify::CostPoints points{curve(measured.plain, &StepTimes::step),
                                  curve(measured.drafted, &StepTimes::draft)};
  DSPARK_RETURN_IF_ERROR(write_costs(key, points));
  DSPARK_RETURN_IF_ERROR(write_stdout(table_of(points)));
  fmt::print(stderr, "kept in {}\n", cost_file(key).string());
  if (arguments.json_file.empty()) return {};
  const Json json = {
      {"version", DSPARK_VERSION},           {"machine", machine_json(engine->info())},
      {"model", model_json(engine->info())}, {"drafter", engine->info().drafter},
      {"rows", curve_json(points.rows)},     {"drafts", curve_json(points.drafts)}};
  return write_file_atomically(arguments.json_file,
                               json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

Command add_profile(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("profile", "Measure what rows and drafts cost, for planners");
  app->footer(kProfileFooter);
  auto arguments = std::make_shared<ProfileArguments>();
  add_engine(*app, arguments->engine);
  add_memory(*app, arguments->engine);
  add_drafter(*app, arguments->engine);
  app->add_option("--json", arguments->json_file, "Write the times as JSON")->type_name("FILE");
  return {app, [arguments] {
            const Status done = profile(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps

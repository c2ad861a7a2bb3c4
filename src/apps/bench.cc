// dspark bench: measures the engine on this machine.
#include "apps/bench.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <memory>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

constexpr const char* kFooter = R"(
Suites:
  decode   tokens a second alone and with 1 to 32 requests, and of prompts
  width    a step's time at 1 to 16 rows beside its matrix products alone, and the memory rate
  long     what 4096 tokens of context add to a step
  draft    what drafting costs beside the steps that it serves (with --drafter)
Threads are pinned. The table goes to standard output, --json FILE has the same as rows (docs/json.md).

Examples:
  dspark bench --suite decode
  dspark bench model.gguf --suite width --threads 2 --json width.json
)";

struct BenchArguments {
  EngineArguments engine;
  std::string suite, json_file;
  std::vector<int> more_rows = {2, 3, 4, 6, 8, 12, 16};
};

}  // namespace

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

Json machine_json(const engine::Info& info) {
  return {{"cpu", cpu_name()},
          {"cores", available_cpus()},
          {"threads", info.threads},
          {"isa", info.isa}};
}

Json model_json(const engine::Info& info) {
  return {{"name", info.model},     {"architecture", info.architecture},
          {"layers", info.layers},  {"hidden", info.hidden},
          {"vocab", info.vocab},    {"weight_bytes", info.weight_bytes},
          {"load_ms", info.load_ms}};
}

namespace {

Result<BenchResult> run_suite(const BenchArguments& arguments, engine::Engine& engine) {
  if (arguments.suite == "decode") return bench_decode(engine);
  if (arguments.suite == "width") return bench_width(engine, arguments.more_rows);
  if (arguments.suite == "draft") return bench_draft(engine);
  return bench_long(engine);
}

Status bench(const BenchArguments& arguments) {
  engine::Options options = arguments.engine.to_options();
  options.pin_threads = true;
  options.max_running = kMaxBenchRequests;
  options.prefix_bytes = 0;  // prompts come again and are to be computed again
  DSPARK_TRY(const auto engine, load_engine(arguments.engine, std::move(options)));
  const engine::Info& info = engine->info();
  DSPARK_RETURN_IF_ERROR(
      write_stdout(fmt::format("{}, {}, {} threads, {}, {:.1f} MB of weights, loaded in "
                               "{:.0f} ms\n",
                               info.model, cpu_name(), info.threads, info.isa,
                               static_cast<double>(info.weight_bytes) / 1e6, info.load_ms)));
  DSPARK_TRY(const BenchResult result, run_suite(arguments, *engine));
  DSPARK_RETURN_IF_ERROR(write_stdout(result.table));
  if (arguments.json_file.empty()) return {};
  const Json json = {{"version", DSPARK_VERSION},
                     {"machine", machine_json(info)},
                     {"model", model_json(info)},
                     {"rows", result.rows}};
  return write_file_atomically(arguments.json_file,
                               json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

Command add_bench(CLI::App& program) {
  CLI::App* app = program.add_subcommand("bench", "Measure the engine on this machine");
  app->footer(kFooter);
  auto arguments = std::make_shared<BenchArguments>();
  add_engine(*app, arguments->engine);
  add_memory(*app, arguments->engine);
  add_speculation(*app, arguments->engine);
  CLI::Option* suite = app->add_option("--suite", arguments->suite, "What to measure")->required();
  allow_words(suite, {"decode", "width", "long", "draft"});
  app->add_option("--rows", arguments->more_rows,
                  "Rows of a step that the suite width sets beside one, as in 4,8")
      ->delimiter(',')
      ->check(CLI::Range(1, kMaxBenchRequests));
  app->add_option("--json", arguments->json_file, "Write the measurements as JSON")
      ->type_name("FILE");
  return {app, [arguments] {
            const Status done = bench(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps

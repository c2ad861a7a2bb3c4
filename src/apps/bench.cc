// dspark bench: measures the engine on this machine.
#include "apps/bench.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>

#include "apps/arguments.h"
#include "apps/bench_load.h"
#include "apps/command.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

constexpr const char* kBenchFooter = R"(
Suites:
  decode   tokens a second alone and with 1 to 32 requests, and of prompts
  width    a step's time at 1 to 16 rows beside its matrix products alone, and the memory rate
  long     what 4096 tokens of context add to a step
  draft    what drafting costs beside the steps that it serves (with --drafter)
  load     policies of speculation under the same requests, in turn: so many at a time, then random
           arrivals; throughput, latencies, drafts verified and wasted (with the model's own drafter)
Threads are pinned. The table goes to standard output, --json FILE has the same as rows (docs/json.md).

Examples:
  dspark bench --suite decode
  dspark bench model.gguf --suite width --threads 2 --json width.json
  dspark bench --suite load --json load.json --plots plots
  dspark bench --suite load --policies off,fixed:3,auto --concurrency 1,16 --arrivals 0 --data chat.jsonl
)";
constexpr const char* kLoadGroup = "Suite load";

struct BenchArguments {
  EngineArguments engine;
  std::string suite, json_file;
  std::vector<int> more_rows = {2, 3, 4, 6, 8, 12, 16};
  LoadArguments load;
  std::string trace_file;  // empty: none
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

Result<BenchResult> run_suite(const BenchArguments& arguments, engine::Engine& engine,
                              StepTrace* trace) {
  if (arguments.suite == "load") return bench_load(engine, arguments.load, trace);
  if (arguments.suite == "decode") return bench_decode(engine);
  if (arguments.suite == "width") return bench_width(engine, arguments.more_rows);
  if (arguments.suite == "draft") return bench_draft(engine);
  return bench_long(engine);
}

// What a run writes, opened before it: a name that can't be written should not cost one.
struct Outputs {
  std::vector<AtomicFile> json;  // empty or one
  std::unique_ptr<StepTrace> trace;
};

Result<Outputs> prepare_outputs(const BenchArguments& arguments) {
  Outputs outputs;
  if (const std::string& folder = arguments.load.plots; !folder.empty()) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return fail("{}: cannot make the folder: {}", folder, error.message());
  }
  if (!arguments.json_file.empty()) {
    DSPARK_TRY(AtomicFile file, AtomicFile::create(arguments.json_file));
    outputs.json.push_back(std::move(file));
  }
  if (!arguments.trace_file.empty()) {
    DSPARK_TRY(outputs.trace, StepTrace::create(arguments.trace_file));
    outputs.trace->pause();
  }
  return outputs;
}

engine::Options options_for(const BenchArguments& arguments, StepTrace* trace) {
  engine::Options options = arguments.engine.to_options();
  options.pin_threads = true;
  options.max_running = kMaxBenchRequests;
  if (arguments.suite == "load") {
    const auto& concurrency = arguments.load.concurrency;
    options.max_running = *std::max_element(concurrency.begin(), concurrency.end());
  }
  options.prefix_bytes = 0;  // prompts come again and are to be computed again
  if (trace != nullptr)
    options.on_step = [trace](const engine::StepStats& step) { trace->step(step); };
  return options;
}

Status bench(BenchArguments arguments) {
  DSPARK_TRY(Outputs outputs, prepare_outputs(arguments));
  if (arguments.suite == "load") arguments.engine.take_own_drafter();
  DSPARK_TRY(const auto engine,
             load_engine(arguments.engine, options_for(arguments, outputs.trace.get())));
  const engine::Info& info = engine->info();
  DSPARK_RETURN_IF_ERROR(
      write_stdout(fmt::format("{}, {}, {} threads, {}, {:.1f} MB of weights, loaded in "
                               "{:.0f} ms\n",
                               info.model, cpu_name(), info.threads, info.isa,
                               static_cast<double>(info.weight_bytes) / 1e6, info.load_ms)));
  DSPARK_TRY(const BenchResult result, run_suite(arguments, *engine, outputs.trace.get()));
  DSPARK_RETURN_IF_ERROR(write_stdout(result.table));
  if (outputs.trace != nullptr) DSPARK_RETURN_IF_ERROR(outputs.trace->finish());
  if (outputs.json.empty()) return {};
  Json json = {{"version", DSPARK_VERSION},
               {"machine", machine_json(info)},
               {"model", model_json(info)},
               {"rows", result.rows}};
  if (info.draft_slots > 0)
    json["drafter"] = {
        {"name", info.drafter}, {"slots", info.draft_slots}, {"weight_bytes", info.drafter_bytes}};
  const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  DSPARK_RETURN_IF_ERROR(outputs.json.front().write(text.data(), text.size()));
  return outputs.json.front().commit();
}

void add_load(CLI::App& app, BenchArguments& arguments) {
  LoadArguments& load = arguments.load;
  const auto count = [&](const char* name, int& value, int low, const char* text) {
    app.add_option(name, value, text)
        ->check(whole_number(low, 1 << 20))
        ->type_name("N")
        ->group(kLoadGroup);
  };
  app.add_option("--data", load.data,
                 "Prompt files, mixed: one prompt of each in turn (default: data/eval/*.jsonl)")
      ->type_name("FILE...")
      ->group(kLoadGroup);
  app.add_option(
         "--policies", load.policies,
         "off, fixed:N, threshold:P, causal, lagged, global, auto (default: off, fixed:1 to "
         "the block's length, threshold:0.5, auto)")
      ->delimiter(',')
      ->type_name("P,...")
      ->group(kLoadGroup);
  app.add_option("--concurrency", load.concurrency,
                 "Requests at a time of closed loops (default: 1,2,4,8,16,32,64)")
      ->delimiter(',')
      ->check(whole_number(1, 4096))
      ->type_name("N,...")
      ->group(kLoadGroup);
  app.add_option(
         "--arrivals", load.arrivals,
         "Random arrivals of open loops, in % of what the closed loops got through (default: "
         "10,25,50,75,100,120; 0 alone: none)")
      ->delimiter(',')
      ->check(real_number(0, 1000))
      ->type_name("X,...")
      ->group(kLoadGroup);
  count("--rounds", load.rounds, 1, "How often every policy has its turn (default 5)");
  app.add_option("--seconds-per-cell", load.seconds,
                 "About so long for a policy under a load in a round (default 5)")
      ->check(real_above(0) & real_number(0, 86400))
      ->type_name("X")
      ->group(kLoadGroup);
  count("--requests", load.requests, 1, "So many requests instead, or as many as run at a time");
  count("--max-tokens", load.max_tokens, 1, "Most tokens of an answer (default 128)");
  app.add_option("--plots", load.plots, "Write plots as SVG files into this folder")
      ->type_name("DIR")
      ->group(kLoadGroup);
  app.add_option("--trace", arguments.trace_file,
                 "Write the first round's steps for a trace viewer (ui.perfetto.dev)")
      ->type_name("FILE")
      ->group(kLoadGroup);
}

// What does not go together; empty when all does.
std::string conflict(const CLI::App& app, const BenchArguments& arguments) {
  if (arguments.suite != "load") {
    for (const CLI::Option* option : app.get_options())
      if (option->get_group() == kLoadGroup && option->count() > 0)
        return fmt::format("--{} belongs to --suite load", option->get_lnames().front());
    return {};
  }
  if (app.count("--planner") > 0) return "--planner: the suite load takes --policies";
  if (app.count("--rows") > 0) return "--rows belongs to --suite width";
  const auto& arrivals = arguments.load.arrivals;
  if (arrivals.size() > 1 && std::count(arrivals.begin(), arrivals.end(), 0.0) > 0)
    return "--arrivals: 0 stands alone, for no open loops";
  return {};
}

}  // namespace

Command add_bench(CLI::App& program) {
  CLI::App* app = program.add_subcommand("bench", "Measure the engine on this machine");
  app->footer(kBenchFooter);
  auto arguments = std::make_shared<BenchArguments>();
  add_engine(*app, arguments->engine);
  add_memory(*app, arguments->engine);
  add_speculation(*app, arguments->engine);
  CLI::Option* suite = app->add_option("--suite", arguments->suite, "What to measure")->required();
  allow_words(suite, {"decode", "width", "long", "draft", "load"});
  app->add_option("--rows", arguments->more_rows,
                  "Rows of a step that the suite width sets beside one, as in 4,8")
      ->delimiter(',')
      ->check(CLI::Range(1, kMaxBenchRequests));
  app->add_option("--json", arguments->json_file, "Write the measurements as JSON")
      ->type_name("FILE");
  add_load(*app, *arguments);
  return {app, [app, arguments]() -> int {
            if (const std::string message = conflict(*app, *arguments); !message.empty())
              return report(kUsage, message);
            std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a write error like others
            const Status done = bench(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps

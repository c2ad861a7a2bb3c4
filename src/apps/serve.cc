// dspark serve: the model behind an OpenAI-compatible HTTP server.
#include "serve/serve.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/config_file.h"
#include "apps/content_hash.h"
#include "apps/run_session.h"
#include "apps/step_trace.h"
#include "installed/installed.h"

namespace dspark::apps {
namespace {

constexpr const char* kServeFooter = R"(
Routes: / (a page to chat with), /v1/models, /v1/completions, /v1/chat/completions, /v1/responses, /v1/messages (streams,
too), /tokenize, /detokenize, /apply-template, /health (503 until the model is loaded), /metrics (Prometheus),
/v1/dspark/state. docs/server.md has what each
takes. Keys come from --api-key-file, a line each, or from DSPARK_API_KEYS, separated by commas; without any
everybody may call. SIGTERM or Ctrl-C lets answers under way end first.

Examples:
  dspark serve
  dspark serve model.gguf --drafter drafter.gguf --port 8000 --slots 16
  curl http://127.0.0.1:8080/v1/chat/completions -d '{"messages": [{"role": "user", "content": "Hello"}]}'
)";

struct ServeArguments {
  EngineArguments engine;
  serve::ServerOptions server;
  int slots = 16;
  int64_t prefix_mb = 256, most_body_kb = 4096;
  int drain_s = 30;
  bool no_request_log = false;
  std::string key_file, config_file, trace_file;  // empty: none
};

std::atomic<bool> stopped = false;

// One a line or separated by commas; spaces around them are no part of them.
std::vector<std::string> keys_in(std::string text) {
  std::replace(text.begin(), text.end(), ',', '\n');
  std::vector<std::string> keys;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    keys.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
  }
  return keys;
}

Result<std::vector<std::string>> read_keys(const std::string& file) {
  if (!file.empty()) {
    DSPARK_TRY(const std::string text, read_file(file, size_t{1} << 20));
    std::vector<std::string> keys = keys_in(text);
    if (keys.empty()) return fail("{}: no API key in it", file);
    return keys;
  }
  const char* variable = std::getenv("DSPARK_API_KEYS");
  return variable != nullptr ? keys_in(variable) : std::vector<std::string>();
}

// A log that is full or gone stops nothing.
void say(const std::string& line) {
  const std::string text = line + "\n";
  std::ignore = std::fwrite(text.data(), 1, text.size(), stderr);
}

Status serve_model(ServeArguments arguments) {
  arguments.engine.take_own_drafter();
  DSPARK_TRY(arguments.server.keys, read_keys(arguments.key_file));
  DSPARK_TRY(const auto path, find_model(arguments.engine.model));
  if (arguments.server.model_name.empty())
    arguments.server.model_name = name_of(arguments.engine.model);
  arguments.server.most_body_bytes = static_cast<size_t>(arguments.most_body_kb) << 10;
  arguments.server.drain_time = std::chrono::seconds(arguments.drain_s);
  engine::Options options = arguments.engine.to_options();
  options.max_running = arguments.slots;
  options.prefix_bytes = static_cast<size_t>(arguments.prefix_mb) << 20;
  std::unique_ptr<StepTrace> trace;
  if (!arguments.trace_file.empty()) {
    DSPARK_TRY(trace, StepTrace::create(arguments.trace_file));
    options.on_step = [to = trace.get()](const engine::StepStats& step) { to->step(step); };
  }
  for (const int signal : {SIGINT, SIGTERM})
    std::signal(signal, [](int number) {
      if (stopped.exchange(true)) std::_Exit(128 + number);  // the second ends it now
    });
  std::signal(SIGPIPE, SIG_IGN);
  if (!arguments.no_request_log) arguments.server.log_line = say;
  const Status served = serve::run_server(
      arguments.server,
      [&] {
        auto engine = load_engine(arguments.engine, options);
        if (engine.ok())
          say(fmt::format("{} is loaded, drafter {}", path.string(),
                          engine.value()->info().drafter));
        return engine;
      },
      stopped,
      [&](const std::string& address) {
        say(fmt::format("listening at {}{}", address,
                        arguments.server.keys.empty() ? "" : ", with API keys"));
      });
  if (trace != nullptr && served.ok()) return trace->finish();
  return served;
}

}  // namespace

Command add_serve(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("serve", "Serve the model over HTTP, as OpenAI's API does");
  app->footer(kServeFooter);
  auto arguments = std::make_shared<ServeArguments>();
  serve::ServerOptions& server = arguments->server;
  add_engine(*app, arguments->engine);
  add_memory(*app, arguments->engine);
  add_speculation(*app, arguments->engine);
  add_trace(*app, arguments->trace_file);
  app->add_option("--host", server.host, "Address to listen at (default: this machine alone)");
  app->add_option("--port", server.port, "Port (default: 8080; 0: any)")
      ->check(whole_number(0, 65535));
  app->add_option("--slots", arguments->slots, "Requests in the batch (default: 16)")
      ->check(whole_number(1, 4096))
      ->type_name("N");
  app->add_option("--max-calls", server.most_calls,
                  "Calls answered at once; more get 429 (default: 256)")
      ->check(whole_number(1, 1 << 20))
      ->type_name("N");
  app->add_option("--max-calls-per-key", server.most_calls_per_key,
                  "Of them with the same API key (default: all)")
      ->check(whole_number(1, 1 << 20))
      ->type_name("N");
  app->add_option("--max-body-kb", arguments->most_body_kb, "Largest body in KiB (default: 4096)")
      ->check(whole_number(1, 1 << 20))
      ->type_name("N");
  app->add_option("--prefix-cache-mb", arguments->prefix_mb,
                  "Cache kept for prompts that begin alike, in MiB (default: 256; 0: none)")
      ->check(whole_number(0, 1 << 24))
      ->type_name("N");
  app->add_option("--model-name", server.model_name,
                  "The model's name for clients (default: its own)");
  app->add_option("--api-key-file", arguments->key_file, "API keys, one a line")->type_name("FILE");
  app->add_option("--cors", server.cors_origins,
                  "Origins whose pages may call: https://HOST, or * for all (default: none)")
      ->type_name("ORIGIN");
  app->add_flag("--no-request-log", arguments->no_request_log, "No line a request on stderr");
  app->add_flag("--strict", server.strict, "Unknown fields of a body are errors");
  app->add_option("--drain", arguments->drain_s,
                  "Seconds for answers under way at the end (default: 30)")
      ->check(whole_number(0, 86400))
      ->type_name("S");
  app->add_option("--config", arguments->config_file,
                  "TOML file of these options: port = 8000; the command line has precedence")
      ->type_name("FILE");
  return {app, [app, arguments] {
            if (!arguments->config_file.empty())
              if (const Status read = read_config(*app, arguments->config_file); !read)
                return report(kUsage, read.message());
            const Status done = serve_model(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps

// dspark data regenerate: prompts in, a corpus of the target's answers out.
#include <CLI/CLI.hpp>
#include <csignal>
#include <limits>
#include <memory>

#include "apps/data_job.h"
#include "apps/http_client.h"
#include "installed/installed.h"

namespace dspark::apps {
namespace {

constexpr const char* kDataRegenerateFooter = R"(
Prompts are JSONL rows {"id","turns":[text]}, or {"id","conversations":[{"role","content"}]}, of which the
user's turns count. Each turn is answered with the answers before it in place. A row is answered at one
temperature of the list, by its id, and with a seed of its own: its answer depends on the row and the options
alone. With --server they are asked of a server with the OpenAI API (/v1/chat/completions), and rows have no
token ids: readers make them with the chat template. The corpus (docs/formats.md) grows as rows are done.
Stopped in any way, the same command goes on where it was, and the end is the same file; CORPUS.meta.json
beside it holds the options.

Examples:
  dspark data regenerate --prompts prompts.jsonl --out corpus.jsonl
  dspark data regenerate --prompts prompts.jsonl --out corpus.jsonl --temperatures 0,0.7,1 --max-tokens 1024
  dspark data regenerate model.gguf --prompts prompts.jsonl --out part2.jsonl --offset 10000 --limit 10000
  dspark data regenerate --server http://localhost:8000 --prompts prompts.jsonl --out corpus.jsonl --concurrency 64
)";

constexpr int kMostInt = std::numeric_limits<int32_t>::max();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts{""};
  for (const char c : text)
    if (c == ',')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

// "0,0.7,1"
std::string check_temperatures(const std::string& text) {
  for (std::string part : split(text))
    if (std::string message = real_number(0, 1000)(part); !message.empty()) return message;
  return {};
}

Result<Json> own_answerer(const RegenerateArguments& arguments) {
  DSPARK_TRY(const auto path, find_model(arguments.engine.model));
  DSPARK_TRY(const std::string weights, learn::weights_digest(path));
  return Json{{"model", path.filename().string()},
              {"weights", weights},
              {"quantize", arguments.engine.quantize},
              {"context", arguments.engine.context}};
}

Result<bool> regenerate(const RegenerateArguments& arguments) {
  const bool by_servers = !arguments.servers.empty();
  std::string server_model;
  Json answerer;
  if (by_servers) {
    DSPARK_TRY(server_model, find_server_model(arguments));
    answerer = {{"server_model", server_model}};
  } else {
    DSPARK_TRY(answerer, own_answerer(arguments));
  }
  DSPARK_TRY(const auto job, RegenerateJob::open(arguments, std::move(answerer)));
  if (job->nothing_left()) return job->finish();
  const Status answered = by_servers ? answer_by_servers(arguments, server_model, *job)
                                     : answer_by_engine(arguments, *job);
  // What is done is kept, whatever ended the work.
  auto finished = job->finish();
  if (!answered) return answered.error();
  return finished;
}

void add_server_options(CLI::App& app, RegenerateArguments& arguments) {
  constexpr const char* kGroup = "Answers from a server";
  app.add_option("--server", arguments.servers,
                 "http://HOST[:PORT][/PATH] of a server with the OpenAI API, instead of our engine "
                 "(repeatable: requests are dealt out)")
      ->check(CLI::Validator(
          [](std::string& text) {
            const auto url = parse_http_url(text);
            return url ? std::string() : url.message();
          },
          ""))
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("URL")
      ->group(kGroup);
  app.add_option("--server-model", arguments.server_model,
                 "The model to ask for (default: the first that the server lists)")
      ->type_name("NAME")
      ->group(kGroup);
  app.add_option("--api-key-env", arguments.api_key_env,
                 "The environment variable that holds the key to send")
      ->type_name("NAME")
      ->group(kGroup);
  app.add_option("--server-timeout", arguments.server_timeout_s,
                 "Seconds until an answer counts as lost (default 600)")
      ->check(whole_number(1, 86400))
      ->type_name("S")
      ->group(kGroup);
  app.add_option("--server-retries", arguments.server_retries,
                 "Times that a request is sent again, later each time (default 8)")
      ->check(whole_number(0, 100))
      ->type_name("N")
      ->group(kGroup);
}

void add_options(CLI::App& app, RegenerateArguments& arguments,
                 std::shared_ptr<std::string> temperatures) {
  constexpr const char* kGroup = "Corpus";
  app.add_option("--prompts", arguments.prompts, "JSONL rows of prompts")
      ->required()
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--out", arguments.out, "The corpus; one that is there is gone on with")
      ->required()
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--temperatures", *temperatures,
                 "Each row has one of them (default 0,1; one named twice comes twice as often)")
      ->check(CLI::Validator([](std::string& text) { return check_temperatures(text); }, ""))
      ->type_name("T,T")
      ->group(kGroup);
  app.add_option("--top-p", arguments.top_p, "Keep the most likely tokens up to this mass")
      ->check(real_above(0) & real_number(0, 1))
      ->type_name("X")
      ->group(kGroup);
  app.add_option("--top-k", arguments.top_k, "Keep the N most likely tokens (0: all)")
      ->check(whole_number(0, kMostInt))
      ->type_name("N")
      ->group(kGroup);
  app.add_option("--min-p", arguments.min_p, "Keep tokens from this share of the best on")
      ->check(real_number(0, 1))
      ->type_name("X")
      ->group(kGroup);
  app.add_option("--max-tokens", arguments.max_tokens, "Most tokens of an answer (default 512)")
      ->check(whole_number(1, kMostInt))
      ->type_name("N")
      ->group(kGroup);
  app.add_option("--seed", arguments.seed, "Of temperatures and noise (default 42)")
      ->check(seed_number())
      ->type_name("S")
      ->group(kGroup);
  app.add_option("--system", arguments.system, "A system message in front of every row")
      ->type_name("TEXT")
      ->group(kGroup);
  app.add_option("--offset", arguments.offset, "Rows of the file that are passed over")
      ->check(whole_number(0, kMost))
      ->type_name("N")
      ->group(kGroup);
  app.add_option("--limit", arguments.limit, "Rows that are answered (default: all)")
      ->check(whole_number(1, kMost))
      ->type_name("N")
      ->group(kGroup);
  app.add_option("--concurrency", arguments.concurrency, "Rows answered together (default 16)")
      ->check(whole_number(1, 4096))
      ->type_name("C")
      ->group(kGroup);
  add_server_options(app, arguments);
  app.add_flag("--strict", arguments.strict, "A row that can't be used ends the work")
      ->group(kGroup);
}

}  // namespace

Command add_data_regenerate(CLI::App& data) {
  CLI::App* app = data.add_subcommand("regenerate", "Answer prompts with the target");
  app->footer(kDataRegenerateFooter);
  auto arguments = std::make_shared<RegenerateArguments>();
  auto temperatures = std::make_shared<std::string>("0,1");
  add_engine(*app, arguments->engine);
  add_memory(*app, arguments->engine);
  add_speculation(*app, arguments->engine);
  add_options(*app, *arguments, temperatures);
  return {app, [app, arguments, temperatures]() -> int {
            for (const std::string& part : split(*temperatures))
              arguments->temperatures.push_back(std::strtod(part.c_str(), nullptr));
            arguments->has_system = app->count("--system") > 0;
            const std::string& verify = arguments->engine.verify;
            if (!verify.empty() && verify != "coupled")
              return report(kUsage, fmt::format("--verify {}: a corpus must not depend on drafts; "
                                                "coupled is the way for any temperature",
                                                verify));
            std::signal(SIGPIPE, SIG_IGN);
            auto good = regenerate(*arguments);
            if (!good) return report(kFailure, good.message());
            return *good ? kSuccess : kFailure;
          }};
}

}  // namespace dspark::apps

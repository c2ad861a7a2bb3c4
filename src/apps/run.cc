// dspark run: answers a prompt, a file of prompts, or a user at a terminal.
#include "apps/run.h"

#include <unistd.h>
#include <CLI/CLI.hpp>

#include <csignal>
#include <limits>
#include <memory>

#include "apps/command.h"
#include "apps/prompt_file.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

constexpr const char* kRunFooter = R"(
Without --prompt or --prompts: a chat where standard input is a terminal, else the prompt is read from it.
Text is one user message, rendered by the model's chat template. With --raw it is sent as it is: the
spelling of a control token is plain text, and the begin-of-text token is added if the model wants it.
Standard output holds only the text; --json FILE has token ids, timing and a summary (docs/json.md).

Examples:
  dspark run --prompt "Name three rivers."
  dspark run --prompt "Once upon a time" --raw --temperature 0.8 --top-p 0.95 --seed 7
  dspark run --drafter ngram --show-drafts --prompt "Write a limerick, then write it again."
  dspark run --json-schema person.json --prompt "Invent a person."
  dspark run --prompts questions.jsonl --concurrency 8 --max-tokens 256 --json answers.jsonl
  git diff | dspark run --system "Describe this change in one line."
)";

constexpr double kMax = std::numeric_limits<double>::max();
constexpr double kLowest = std::numeric_limits<double>::lowest();
constexpr const char* kSampling = "Sampling";
constexpr const char* kInput = "Input and output";

// "ID=B"
std::string check_bias(const std::string& text) {
  const size_t equals = text.find('=');
  std::string id = text.substr(0, equals);
  std::string bias = equals == std::string::npos ? std::string() : text.substr(equals + 1);
  if (!whole_number(0, std::numeric_limits<int32_t>::max())(id).empty() ||
      !real_number(kLowest, kMax)(bias).empty())
    return fmt::format("'{}' is not ID=B, a token id and a number, as in 42=-5", text);
  return {};
}

void add_sampling(CLI::App& app, RunArguments& run,
                  std::shared_ptr<std::vector<std::string>> biases) {
  sample::Params& sampling = run.sampling;
  const auto number = [&](const char* name, float& value, CLI::Validator check, const char* text) {
    app.add_option(name, value, text)->check(check)->type_name("X")->group(kSampling);
  };
  number("--temperature", sampling.temperature, real_number(0, 1000),
         "0 (default): the most likely");
  app.add_option("--top-k", sampling.top_k, "Keep the N most likely tokens (0: all)")
      ->check(whole_number(0, std::numeric_limits<int32_t>::max()))
      ->type_name("N")
      ->group(kSampling);
  app.add_option("--top-p", sampling.top_p,
                 "Keep the most likely tokens up to this mass (default 1)")
      ->check(real_above(0) & real_number(0, 1))
      ->type_name("X")
      ->group(kSampling);
  number("--min-p", sampling.min_p, real_number(0, 1),
         "Keep tokens from this share of the best on");
  number("--repeat-penalty", sampling.repeat_penalty, real_above(0),
         "Weaken tokens seen in prompt or answer (1: off)");
  number("--presence-penalty", sampling.presence_penalty, real_number(-1000, 1000),
         "Taken from the logits of tokens in the answer");
  number("--frequency-penalty", sampling.frequency_penalty, real_number(-1000, 1000),
         "The same, times their count");
  app.add_option("--logit-bias", *biases, "Add B to the logit of token ID (repeatable)")
      ->check(CLI::Validator([](std::string& text) { return check_bias(text); }, ""))
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("ID=B")
      ->group(kSampling);
  app.add_option("--seed", sampling.seed, "Of the noise (default: random, reported on stderr)")
      ->check(seed_number())
      ->type_name("S")
      ->group(kSampling);
}

void add_input_output(CLI::App& app, RunArguments& run) {
  app.add_option("--prompt", run.prompt, "One prompt")->type_name("TEXT")->group(kInput);
  app.add_option("--prompts", run.prompts_file,
                 "JSONL rows {\"id\",\"turns\":[text]} or {\"id\",\"ids\":[token ids]}")
      ->type_name("FILE")
      ->group(kInput);
  app.add_flag("--all-turns", run.all_turns,
               "Send all turns of a row, each after the answer before")
      ->group(kInput);
  app.add_option("--system", run.system, "A system message in front")
      ->type_name("TEXT")
      ->group(kInput);
  app.add_flag("--raw", run.raw, "No chat template")->group(kInput);
  app.add_flag("--show-drafts", run.show_drafts,
               "Mark drafted tokens in the answer: colours on a terminal, else brackets")
      ->group(kInput);
  app.add_option("--json", run.json_file, "Write a JSON object a completion, and a summary")
      ->type_name("FILE")
      ->group(kInput);
  app.add_option("--max-tokens", run.max_tokens, "Most tokens of an answer (default 512)")
      ->check(whole_number(1, std::numeric_limits<int32_t>::max()))
      ->type_name("N")
      ->group(kInput);
  app.add_option("--stop", run.stop, "Text that ends an answer (repeatable)")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(kInput)
      ->check(CLI::Validator(
          [](std::string& text) {
            return text.empty() ? std::string("the text is empty") : std::string();
          },
          ""));
  app.add_option("--grammar", run.grammar_file,
                 "Answers are texts of this grammar, in GBNF (docs/grammar.md)")
      ->type_name("FILE")
      ->group(kInput);
  app.add_option("--json-schema", run.schema_file, "Answers are JSON that this schema accepts")
      ->type_name("FILE")
      ->group(kInput);
  app.add_flag("--ignore-eos", run.ignore_eos, "Go on after a token that ends the answer")
      ->group(kInput);
  app.add_option("--logprobs", run.logprobs, "With --json: the N most likely tokens at every place")
      ->check(whole_number(1, 100))
      ->type_name("N")
      ->group(kInput);
  app.add_option(
         "--concurrency", run.concurrency,
         "Rows of a prompt file run at the same time (default 1; 8 or more for total speed)")
      ->check(whole_number(1, 4096))
      ->type_name("C")
      ->group(kInput);
}

// What does not go together; empty when all does.
std::string conflict(const RunArguments& run) {
  if (run.has_prompt && !run.prompts_file.empty())
    return "--prompt and --prompts: give one of them";
  if (run.raw && run.has_system) return "--raw sends text as it is: --system needs a chat template";
  if (run.raw && run.all_turns)
    return "--raw sends text as it is: --all-turns needs a chat template";
  if (run.all_turns && run.prompts_file.empty()) return "--all-turns needs --prompts FILE";
  if (run.show_drafts && !run.prompts_file.empty())
    return "--show-drafts shows an answer as it comes: not with --prompts";
  if (!run.grammar_file.empty() && !run.schema_file.empty())
    return "--grammar and --json-schema: give one of them";
  if (run.ignore_eos && !(run.grammar_file.empty() && run.schema_file.empty()))
    return "--ignore-eos: an answer that a grammar says ends with such a token";
  if (run.logprobs > 0 && run.json_file.empty()) return "--logprobs needs --json FILE to write to";
  const bool chat = !run.has_prompt && run.prompts_file.empty() && isatty(STDIN_FILENO);
  if (run.raw && chat) return "--raw needs --prompt TEXT: a chat needs the chat template";
  return {};
}

Result<bool> run_as_asked(const RunArguments& arguments) {
  std::vector<PromptRow> rows;
  if (!arguments.prompts_file.empty()) {
    DSPARK_TRY(rows, read_prompt_file(arguments.prompts_file));
  }
  DSPARK_TRY(auto session, RunSession::open(arguments));
  const bool chat = !arguments.has_prompt && isatty(STDIN_FILENO);
  auto good = !rows.empty() ? run_batch(*session, rows)
              : chat        ? run_chat(*session)
                            : run_prompt(*session);
  if (good.ok()) DSPARK_RETURN_IF_ERROR(session->finish_trace());
  return good;
}

std::vector<std::pair<int32_t, float>> parse_biases(const std::vector<std::string>& texts) {
  std::vector<std::pair<int32_t, float>> biases;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    biases.emplace_back(std::stoi(text.substr(0, equals)), std::strtof(&text[equals + 1], nullptr));
  }
  return biases;
}

}  // namespace

Command add_run(CLI::App& program) {
  CLI::App* app = program.add_subcommand("run", "Answer a prompt, a file of prompts, or chat");
  app->footer(kRunFooter);
  auto run = std::make_shared<RunArguments>();
  auto biases = std::make_shared<std::vector<std::string>>();
  add_engine(*app, run->engine);
  add_memory(*app, run->engine);
  add_speculation(*app, run->engine);
  add_input_output(*app, *run);
  add_trace(*app, run->trace_file);
  add_sampling(*app, *run, biases);
  return {app, [app, run, biases]() -> int {
            run->has_prompt = app->count("--prompt") > 0;
            run->has_system = app->count("--system") > 0;
            run->has_seed = app->count("--seed") > 0;
            run->sampling.logit_bias = parse_biases(*biases);
            if (const std::string message = conflict(*run); !message.empty())
              return report(kUsage, message);
            std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a write error like others
            auto good = run_as_asked(*run);
            if (!good) return report(kFailure, good.message());
            return *good ? kSuccess : kFailure;
          }};
}

}  // namespace dspark::apps

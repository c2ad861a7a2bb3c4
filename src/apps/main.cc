// dspark: the command line. Each subcommand lives in a file of its name.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <tuple>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/data.h"

namespace dspark::apps {

int report(ExitCode code, std::string_view message) {
  const std::string text = fmt::format("dspark: {}\n", message);
  std::ignore = std::fwrite(text.data(), 1, text.size(), stderr);  // the code says it, too
  return code;
}

Status write_stdout(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return {};
  return fail("standard output: cannot write: {}", std::strerror(errno));
}

namespace {

constexpr const char* kProgramFooter = R"(Examples:
  dspark run                                  chat with the default model
  dspark run --prompt "Why is the sky blue?"
  dspark run model.gguf --prompts questions.jsonl --concurrency 8 --json answers.jsonl
  dspark serve --port 8080
  dspark bench --suite decode
  dspark profile
  dspark eval --drafter ngram --data questions.jsonl
  dspark calibrate --drafter drafter.gguf --data held-back.jsonl
  dspark simulate --acceptance 0.8 --costs costs.json
  dspark info model.gguf
  dspark convert checkpoint drafter.gguf --type q8_0
  dspark data regenerate --prompts prompts.jsonl --out corpus.jsonl
  dspark train recipes/smoke.toml --out runs/smoke

`dspark COMMAND --help` explains a command. Exit codes: 0 success, 1 failure, 2 usage.
)";

// CLI11 takes "--name=" for an option whose value comes next; here it is an empty value.
std::vector<std::string> arguments_reversed(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    std::string text = argv[i];
    const bool empty_value =
        text.size() > 3 && text.starts_with("--") && text.find('=') == text.size() - 1;
    if (empty_value) text.pop_back();
    arguments.push_back(std::move(text));
    if (empty_value) arguments.emplace_back();
  }
  std::reverse(arguments.begin(), arguments.end());
  return arguments;
}

int run_program(int argc, char** argv) {
  CLI::App program("dspark runs language models on CPUs.", "dspark");
  program.footer(kProgramFooter);
  program.get_formatter()->column_width(34);
  program.set_version_flag("--version", "dspark " DSPARK_VERSION);
  std::vector<Command> commands = {
      add_run(program),       add_bench(program),   add_eval(program),    add_tokenize(program),
      add_render(program),    add_score(program),   add_convert(program), add_info(program),
      add_calibrate(program), add_profile(program), add_serve(program),   add_simulate(program)};
  for (Command& command : add_data(program)) commands.push_back(std::move(command));
  program.add_subcommand("train", "Train a drafter, from a recipe (dspark-learn)");
  for (const Command& command : commands) {
    command.app->set_version_flag("--version", "dspark " DSPARK_VERSION);
    command.app->allow_extras();
  }
  program.allow_extras();
  if (argc > 1 && std::string_view(argv[1]) == "train") return run_train(argv + 2);
  if (argc < 2) {
    fmt::print(stderr, "{}", program.help());
    return kUsage;
  }
  const auto usage = [](const CLI::App& app, const std::string& message) {
    std::string name = app.get_name();
    for (const CLI::App* at = app.get_parent(); at; at = at->get_parent())
      name = at->get_name() + " " + name;
    return report(kUsage, fmt::format("{}\n`{} --help` lists what there is.", message, name));
  };
  const auto chosen = [&]() -> const CLI::App& {
    const CLI::App* app = &program;  // the innermost that the command line names
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return *app;
  };
  try {
    program.parse(arguments_reversed(argc, argv));
  } catch (const CLI::Success& request) {  // --help, --version
    return program.exit(request);
  } catch (const CLI::ParseError& error) {
    const std::string unknown = unknown_argument(chosen());
    return usage(chosen(), unknown.empty() ? error.what() : unknown);
  }
  for (const CLI::App* app = &chosen(); app; app = app->get_parent())
    if (const std::string unknown = unknown_argument(*app); !unknown.empty())
      return usage(*app, unknown);
  for (const Command& command : commands)
    if (command.app->parsed()) return command.run();
  const CLI::App& group = chosen();
  std::vector<std::string> names;
  for (const CLI::App* command : group.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  const std::string last = names.back();
  names.pop_back();
  return usage(group, fmt::format("a command is needed: {} or {}", fmt::join(names, ", "), last));
}

}  // namespace
}  // namespace dspark::apps

int main(int argc, char** argv) {
  try {
    return dspark::apps::run_program(argc, argv);
  } catch (const std::exception& error) {  // out of memory, above all
    return dspark::apps::report(dspark::apps::kFailure, error.what());
  }
}

// A subcommand of the program: declared first, run after the whole command line has been checked.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

#include "base/base.h"

// Each file that includes CLI11 pays seconds of compiling for it.
namespace CLI {
class App;
}  // namespace CLI

namespace dspark::apps {

enum ExitCode : int { kSuccess = 0, kFailure = 1, kUsage = 2 };

struct Command {
  CLI::App* app;
  std::function<int()> run;  // its exit code
};

// Each declares its subcommand on the program.
Command add_run(CLI::App& program);
Command add_bench(CLI::App& program);
Command add_eval(CLI::App& program);
Command add_profile(CLI::App& program);
Command add_serve(CLI::App& program);
Command add_calibrate(CLI::App& program);
Command add_tokenize(CLI::App& program);
Command add_render(CLI::App& program);
Command add_score(CLI::App& program);
Command add_convert(CLI::App& program);
Command add_info(CLI::App& program);
Command add_simulate(CLI::App& program);

// `dspark train`: another program takes over, with all arguments behind the command's name. Returns
// only when it can't be run.
int run_train(char** arguments);

// "dspark: MESSAGE" on stderr; gives the code back.
int report(ExitCode code, std::string_view message);

// Results go to stdout through these: a closed pipe or a full disk is an error, not silence.
Status write_stdout(std::string_view text);

}  // namespace dspark::apps

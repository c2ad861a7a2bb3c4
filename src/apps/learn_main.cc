// dspark-learn: the part of dspark that needs libtorch. `dspark train` runs it.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>

#include "apps/interrupt.h"
#include "apps/learn_report.h"
#include "apps/progress.h"
#include "installed/installed.h"
#include "train/train.h"

namespace dspark::apps {
namespace {

constexpr const char* kLearnMainFooter = R"(
The folder gets recipe.toml, metrics.jsonl, timing.jsonl, events/ for TensorBoard, report.html with the
curves, state.safetensors and drafter.gguf (docs/training.md). Stopped or
killed, the same command goes on from the last checkpoint. Several processes: any launcher that sets RANK,
WORLD_SIZE, MASTER_ADDR and MASTER_PORT (torchrun, Slurm, mpirun).

Examples:
  dspark train recipes/smoke.toml --out runs/smoke
  dspark train recipes/smollm2-135m-dspark.toml --out runs/a --set optimiser.seed=7
  dspark train --keys
)";

struct Arguments {
  std::string recipe, out, features;
  std::vector<std::string> changes;
  int threads = 0;
  bool keys = false, fresh = false;
};

Status train(const Arguments& arguments) {
  DSPARK_TRY(train::Recipe recipe, train::read_recipe(arguments.recipe));
  for (const std::string& change : arguments.changes)
    DSPARK_RETURN_IF_ERROR(train::set_value(recipe, change));
  DSPARK_TRY(const std::filesystem::path model,
             find_model(recipe.model.empty() ? kDefaultModel : recipe.model));
  const InterruptFlag interrupt(SecondSignal::kEndsProgram);
  dspark::apps::Progress bar("training", "steps");
  train::RunOptions options;
  options.folder = arguments.out;
  options.model = model;
  options.features = arguments.features;
  options.threads = arguments.threads;
  options.fresh = arguments.fresh;
  options.stop = [&] { return interrupt.raised(); };
  options.progress = [&](double done, double total, const std::string& note) {
    bar.update(done, total, note);
  };
  DSPARK_TRY(const train::RunResult result, train::run_training(recipe, options));
  bar.clear();
  DSPARK_RETURN_IF_ERROR(write_learn_report(options.folder));
  const std::string summary =
      fmt::format("{} steps, {:.0f} positions in {:.0f} s; held back: loss {:.4f}, tau {:.3f}",
                  result.steps, result.positions, result.seconds, result.loss, result.tau);
  if (!result.finished) return fail("stopped at {}; the same command goes on", summary);
  std::fprintf(stderr, "%s\n", summary.c_str());
  return {};
}

int run(int argc, char** argv) {
  CLI::App app{"Train a drafter", "dspark train"};
  app.footer(kLearnMainFooter);
  Arguments a;
  app.add_option("RECIPE", a.recipe, "A TOML file")->check(CLI::ExistingFile);
  app.add_option("--out", a.out, "The run's folder")->type_name("DIR");
  app.add_option("--set", a.changes, "Change a value: SECTION.KEY=VALUE, as TOML (repeatable)")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("S.K=V");
  app.add_option("--features", a.features,
                 "The features' cache, to share it between runs of the same corpus and taps")
      ->type_name("FILE");
  app.add_option("--threads", a.threads, "Threads (default: one a CPU)")
      ->check(CLI::Range(0, 1024))
      ->type_name("N");
  app.add_flag("--fresh", a.fresh, "A run that is there already is an error");
  app.add_flag("--keys", a.keys, "List a recipe's keys and defaults");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (a.keys) {
    std::fputs(train::recipe_keys().c_str(), stdout);
    return 0;
  }
  if (a.recipe.empty() || a.out.empty()) {
    std::fprintf(stderr, "dspark train: expected RECIPE and --out DIR; see dspark train --help\n");
    return 2;
  }
  const Status status = train(a);
  if (status.ok()) return 0;
  std::fprintf(stderr, "dspark train: %s\n", status.message().c_str());
  return 1;
}

// Idle threads of OpenMP and OpenBLAS would spin beside the others' that work: their libraries read
// this when they are loaded, before main.
void restart_with_passive_threads(char** argv) {
  if (std::getenv("OPENBLAS_THREAD_TIMEOUT") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "PASSIVE", 0);
  ::setenv("OPENBLAS_THREAD_TIMEOUT", "4", 0);  // of 2^4 cycles
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) ::execv(self.c_str(), argv);
}

}  // namespace
}  // namespace dspark::apps

int main(int argc, char** argv) {
  dspark::apps::restart_with_passive_threads(argv);
  return dspark::apps::run(argc, argv);
}

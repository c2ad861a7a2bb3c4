// A training run: conversations in, a drafter out; killed at any moment, it goes on from its last
// checkpoint to the same end.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/base.h"
#include "train/recipe.h"

namespace dspark::train {

struct RunOptions {
  std::filesystem::path folder;    // what the run leaves (docs/training.md)
  std::filesystem::path model;     // where the recipe's target is
  std::filesystem::path features;  // the cache file; empty: in the folder
  int threads = 0;                 // 0: one a CPU of the affinity mask
  bool fresh = false;              // an earlier run's checkpoint is an error
  std::function<bool()> stop;      // asked between micro-steps: write a checkpoint and end
  // Shown by the host: steps done, steps in all, how it goes.
  std::function<void(double, double, const std::string&)> progress;
};

struct RunResult {
  bool finished = false;  // false: stopped, to be gone on with
  int64_t steps = 0;
  double positions = 0, seconds = 0, loss = 0, tau = 0;
};

Result<RunResult> run_training(const Recipe& recipe, const RunOptions& options);

}  // namespace dspark::train

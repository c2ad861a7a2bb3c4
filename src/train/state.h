// What a run is between two steps: parameters, AdamW's moments, how far it got. Its file is written
// at once or not at all, and a run that goes on from it ends as one that never stopped.
#pragma once

#include <torch/optim/adamw.h>

#include <filesystem>

#include "train/parameters.h"
#include "train/recipe.h"

namespace dspark::train {

struct Progress {
  int64_t steps = 0;     // optimiser steps done
  double seconds = 0;    // of all sittings
  double positions = 0;  // supervised slots seen
};

struct StateKey {                       // what must be the same to go on
  std::string recipe, corpus, machine;  // machine: what results depend on: threads, instruction set
};

Status save_state(const std::filesystem::path& file, const Parameters& parameters,
                  torch::optim::AdamW& optimiser, const Progress& progress, const StateKey& key);

// False when there is no file. An error when it was made with another recipe or corpus, or is
// damaged; another machine is noted.
Result<bool> load_state(const std::filesystem::path& file, Parameters& parameters,
                        torch::optim::AdamW& optimiser, Progress& progress, const StateKey& key,
                        std::string* note);

}  // namespace dspark::train

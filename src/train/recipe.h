// A training recipe: everything that decides what a run becomes, as TOML (docs/training.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/base.h"

namespace dspark::train {

struct Recipe {
  // [target]
  std::string model;
  // [data]
  std::vector<std::string> corpus;
  double held_back = 0.02;
  int64_t max_length = 2048, min_loss_tokens = 14, rows = 0;
  bool strict = false;
  // [drafter]
  std::string kind = "dspark", markov = "vanilla", mask_token, start = "fresh";
  int64_t layers = 2, ffn = 0, block = 7, rank = 64, draft_vocab = 0, candidates = 64;
  std::vector<int64_t> taps, start_layers;
  bool confidence = true;
  // [loss]
  double ce = 0.1, soft_ce = 0, l1 = 0.9, confidence_weight = 1, decay = 4, step_decay = 0.8;
  // [optimiser]
  double learning_rate = 6e-4, warmup = 0.04, clip = 1, weight_decay = 0, epochs = 10;
  int64_t batch = 512, micro_batch = 1, anchors = 512, seed = 42, steps = 0;
  // [run]
  std::string precision = "auto", features = "cache";
  int64_t feature_bits = 16, evaluate_every = 200, log_every = 10;
  double checkpoint_minutes = 10;
};

// An error names file, place and what was expected; unknown keys are errors.
Result<Recipe> read_recipe(const std::filesystem::path& file);
// Changes one value: "optimiser.seed=7".
Status set_value(Recipe& recipe, const std::string& assignment);
// The whole recipe as TOML, defaults included.
std::string to_toml(const Recipe& recipe);
// Every key with its default and what it does, for --help.
std::string recipe_keys();

}  // namespace dspark::train

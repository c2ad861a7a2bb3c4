// From a recipe and its target to the drafter that will be trained, and where its weights start.
#pragma once

#include "learn/learn.h"
#include "train/parameters.h"
#include "train/recipe.h"

namespace dspark::train {

// target: its path. counts: of the trained tokens, for the draft vocabulary.
Result<draft::DrafterConfig> plan_drafter(const Recipe& recipe, const std::filesystem::path& target,
                                          const tokenizer::Tokenizer& tokenizer,
                                          const learn::TokenCounts& counts);

// fresh, the target's own layers, or another drafter's tensors of the same names and shapes.
Result<Parameters> starting_parameters(const Recipe& recipe, const draft::DrafterConfig& config,
                                       const std::filesystem::path& target);

}  // namespace dspark::train

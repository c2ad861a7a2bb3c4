// From a recipe and its target to the drafter that will be trained.
#pragma once

#include "learn/learn.h"
#include "train/parameters.h"
#include "train/recipe.h"

namespace dspark::train {

// target: its path. counts: of the trained tokens, for the draft vocabulary.
Result<draft::DrafterConfig> plan_drafter(const Recipe& recipe, const std::filesystem::path& target,
                                          const tokenizer::Tokenizer& tokenizer,
                                          const learn::TokenCounts& counts);

}  // namespace dspark::train

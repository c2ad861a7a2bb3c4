// Where a drafter's weights start.
#pragma once

#include "train/parameters.h"
#include "train/recipe.h"

namespace dspark::train {

// fresh, the target's own layers with its norms, or another drafter's tensors of the same names and
// shapes. target: its path.
Result<Parameters> starting_parameters(const Recipe& recipe, const draft::DrafterConfig& config,
                                       const std::filesystem::path& target);

}  // namespace dspark::train

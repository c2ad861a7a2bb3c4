// A drafter to be: sizes that follow from its target.
#pragma once

#include <vector>

#include "model/model.h"

namespace dspark::draft {

// As DeepSpec places them: five, from the second layer to the fourth from the end; fewer where the
// target is small.
std::vector<int> usual_taps(int target_layers);

// Draft layers as Qwen3 has them (spec B.2), or as Gemma 4 has where the target is one (B.5), in the
// target's sizes. ffn: 0 is the target's.
model::Spec draft_layers(const model::Spec& target, int layers, int64_t ffn);

}  // namespace dspark::draft

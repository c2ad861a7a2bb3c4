// Private to the drafters' writers: llama.cpp's keys.
#pragma once

#include "draft/drafter_file.h"

namespace dspark::draft {

// The drafter's keys, and the tokenizer's copied from the target. An error when that has another
// number of tokens.
Status set_llamacpp_keys(const DrafterConfig& config, const formats::GgufFile& target,
                         formats::GgufWriter& writer);

}  // namespace dspark::draft

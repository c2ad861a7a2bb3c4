// Our own form of a drafter's file (docs/formats.md): its keys.
#pragma once

#include "draft/drafter_file.h"
#include "draft/gguf_tensors.h"

namespace dspark::draft {

constexpr const char* kDsparkArchitecture = "dspark";
constexpr int64_t kDsparkVersion = 1;

// Everything but the tensors; d2t is one, and RoPE's frequency divisors are another.
void set_dspark_keys(const DrafterConfig& config, formats::GgufWriter& writer);

}  // namespace dspark::draft

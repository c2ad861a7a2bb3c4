// Our own form of a drafter's file (docs/formats.md): its keys.
#pragma once

#include "draft/drafter_file.h"

namespace dspark::draft {

constexpr const char* kDsparkArchitecture = "dspark";
constexpr int64_t kDsparkVersion = 1;
constexpr const char* kD2tTensor = "d2t";  // I32 [draft_vocab]

// Everything but the tensors; d2t is one.
void set_dspark_keys(const DrafterConfig& config, formats::GgufWriter& writer);

}  // namespace dspark::draft

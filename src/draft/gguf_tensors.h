// Private to the drafters' files: what our GGUF form and llama.cpp's have alike besides weights.
#pragma once

#include "draft/drafter_file.h"

namespace dspark::draft {

constexpr const char* kD2tTensor = "d2t";  // [draft_vocab], I32 in our form, I64 in llama.cpp's
constexpr const char* kRopeFreqsTensor = "rope_freqs.weight";  // [head_dim / 2], F32

// Ids of 32 bits; those that are not become -1, which check_config() refuses.
Result<std::vector<int32_t>> read_ids(const formats::GgufFile& file, const TensorView& tensor,
                                      DType type);

// The frequency divisors, where the file has them.
Status read_rope_freqs(const formats::GgufFile& file, DrafterConfig& config);

}  // namespace dspark::draft

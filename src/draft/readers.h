// Private to the drafters' files: from each form's keys to a config, which check_config() has yet
// to see.
#pragma once

#include <deque>

#include "draft/drafter_file.h"

namespace dspark::draft {

// The keys of DeepSpec's config.json, wherever they were stored. The decoder's numbers come from
// the target's keys that it inherits. draft_vocab is the whole vocabulary.
Result<DrafterConfig> config_from_json(const formats::JsonConfig& config);

// DeepSpec's own config.json.
bool is_deepspec_drafter(std::string_view architecture);
Result<DrafterConfig> config_from_deepspec(const formats::JsonConfig& config);

// Our own form: DeepSpec's keys under "dspark.", ours among them, and the tensor d2t.
Result<DrafterConfig> config_from_dspark(const formats::GgufFile& file);

// llama.cpp's GGUF files.
bool is_llamacpp_drafter(std::string_view architecture);
Result<DrafterConfig> config_from_llamacpp(const formats::GgufFile& file);
// Its tensors with the confidence head as ours: floats, [1, inputs], with a bias. What that takes
// besides the file is kept in `owned`.
std::vector<TensorView> llamacpp_tensors(const formats::GgufFile& file,
                                         std::deque<std::vector<float>>& owned);

}  // namespace dspark::draft

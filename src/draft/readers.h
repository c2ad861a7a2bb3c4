// Private to the drafters' files: from each form's keys to a config, which check_config() has yet
// to see.
#pragma once

#include "draft/drafter_file.h"

namespace dspark::draft {

// The keys of DeepSpec's config.json, wherever they were stored. The decoder's numbers come from
// the target's keys that it inherits. draft_vocab is the whole vocabulary.
Result<DrafterConfig> config_from_json(const formats::JsonConfig& config);

// DeepSpec's own config.json.
Result<DrafterConfig> config_from_deepspec(const formats::JsonConfig& config);

// Our own form: DeepSpec's keys under "dspark.", ours among them, and the tensor d2t.
Result<DrafterConfig> config_from_dspark(const formats::GgufFile& file);

}  // namespace dspark::draft

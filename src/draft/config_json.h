// A drafter's config as DeepSpec's config.json has it: what both of our writers begin with.
#pragma once

#include <nlohmann/json.hpp>

#include "draft/drafter_file.h"

namespace dspark::draft {

// Every key that DeepSpec's classes need, and ours where they are set: tokenizer_fingerprint,
// markov_candidates, sample_from_anchor.
nlohmann::json config_to_json(const DrafterConfig& config);

}  // namespace dspark::draft

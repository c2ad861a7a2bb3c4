// Private to the drafters' files: from each form's keys to a checked config.
#pragma once

#include "draft/drafter_file.h"

namespace dspark::draft {

// DeepSpec's config.json. The decoder's numbers come from the target's keys that it inherits.
Result<DrafterConfig> config_from_deepspec(const formats::JsonConfig& config);

}  // namespace dspark::draft

// A training run as a page: its curves, from metrics.jsonl.
#pragma once

#include <filesystem>

#include "base/base.h"

namespace dspark::apps {

// Writes report.html into the run's folder.
Status write_learn_report(const std::filesystem::path& folder);

}  // namespace dspark::apps

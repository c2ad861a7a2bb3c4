// What a corpus was made with, in CORPUS.meta.json beside it: a resumed run must go on with the
// same.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/base.h"

namespace dspark::learn {

std::filesystem::path corpus_options_path(const std::filesystem::path& corpus);

// options: an object. With has_rows, compares them with what is stored, and an error names each
// that differs; without, stores them.
Status settle_corpus_options(const std::filesystem::path& corpus,
                             const nlohmann::ordered_json& options, bool has_rows);

}  // namespace dspark::learn

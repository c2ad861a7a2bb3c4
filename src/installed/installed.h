// Public header of the room installed: where models and drafters are, as paths or under the names
// that the set-up gives them, and the user's own folders.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/base.h"

namespace dspark {

inline constexpr const char* kDefaultModel = "smollm2-135m";

// $VARIABLE, or `fallback` below the home directory where it is unset or not absolute (as the XDG
// base directory rules say), then "dspark". Empty without a home.
std::filesystem::path user_directory(const char* variable, const char* fallback);

// Names in the user's model cache that hold exactly one GGUF file, sorted.
std::vector<std::string> installed_models();

// The path of a model as given on the command line.
Result<std::filesystem::path> find_model(const std::string& given);

// Behind a drafter's name: look-up beside it (draft::kLookup, which this room does not see).
inline constexpr std::string_view kLookupSuffix = "+ngram";

// Names of installed drafters, sorted; each begins with its target's name.
std::vector<std::string> installed_drafters();
// The path of a drafter as given: a file, a directory or an installed name, with "+ngram" behind it
// or without. "none" and "ngram" stay.
Result<std::string> find_drafter(const std::string& given);
// The installed drafter of a model that was given by name, with "+ngram"; empty where there is
// none.
std::string drafter_of(const std::string& given_model);

// CLI check: a message when `given` can only be a name and no such name is known.
std::string check_model_name(const std::string& given);

}  // namespace dspark

// Suggestions in errors: the valid word that an unknown one most likely meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dspark {

// The word of `valid` that `word` most likely meant: the shortest that it begins (or that begins
// it), else the one with the fewest edits; ties go to the first. `valid` is not empty.
std::string nearest_word(std::string_view word, const std::vector<std::string>& valid);

}  // namespace dspark

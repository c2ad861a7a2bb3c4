// The merging of BPE.
#pragma once

#include <vector>

#include "tokenizer/vocabulary.h"

namespace dspark::tokenizer {

// Merges neighbouring symbols, lowest rank first, leftmost on ties, until no pair merges. symbols
// must be tokens of single characters (or bytes). O(n log n).
void merge_symbols(const Vocabulary& vocabulary, std::vector<int32_t>& symbols);

}  // namespace dspark::tokenizer

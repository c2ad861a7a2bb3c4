// The order in which an epoch visits samples.
#pragma once

#include <cstdint>
#include <vector>

namespace dspark::learn {

// As DeepSpec's sampler has it (spec D.6): a permutation of 0 .. n - 1 seeded 42 + epoch.
std::vector<int64_t> epoch_order(int64_t n, int64_t epoch);

}  // namespace dspark::learn

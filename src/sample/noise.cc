#include "sample/noise.h"

#include "sample/sample.h"

namespace dspark::sample {

double gumbel(uint64_t seed, int64_t position, int32_t token) {
  CHECK(token >= 0, "token {}", token);
  return gumbel_of(NoiseRow(seed, position).complement(token));
}

}  // namespace dspark::sample

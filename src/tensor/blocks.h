// Block formats of GGUF: from stored bytes to float and back. The plain definition; compute holds
// the fast paths and repacks from the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace dspark {

// n values (a multiple of the block) of a weight type -> float. Multiply and add round separately.
void dequantise(DType type, const uint8_t* source, float* out, size_t n);

// n floats -> blocks of a weight type (round to nearest; per-block scale search as simple as the
// format allows). Finite input required; false when a value is not finite, or too large for the
// type's scale.
bool quantise(DType type, const float* source, uint8_t* out, size_t n);

}  // namespace dspark

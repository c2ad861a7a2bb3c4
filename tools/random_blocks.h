// Random weights, of mean 0 and standard deviation about 0.02, made in their stored form.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace dspark {

// A counter hashed to 64 random bits: the same on every machine.
class RandomBits {
 public:
  explicit RandomBits(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Fills out with n values of a weight type, n a multiple of its block. Quantised types get random
// codes and plausible scales, without any float quantised.
void random_weights(DType type, size_t n, RandomBits& bits, uint8_t* out);

}  // namespace dspark

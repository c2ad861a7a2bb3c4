// Every instruction set of this machine, ref among them, as a test's parameter.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "compute/compute.h"

namespace dspark::compute::testing {

class EveryIsa : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& k() const { return *GetParam(); }
  const Kernels& ref() const { return *ref_kernels(); }
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace dspark::compute::testing

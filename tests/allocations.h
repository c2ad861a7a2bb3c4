// Counts what a test program allocates. Included by one source file of a program. Under a
// sanitizer, which brings operators of its own, nothing is counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "sanitized.h"

namespace dspark::testing {
inline std::atomic<int64_t> allocations = 0;
}  // namespace dspark::testing

#if !DSPARK_SANITIZED
// Not inlined: the compiler would take malloc and free for a mismatch with new and delete.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++dspark::testing::allocations;
  if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

#include "compute/aligned_buffer.h"

#include <sys/mman.h>

#include <new>

namespace dspark::compute {
namespace {
constexpr size_t kHugePage = size_t{2} << 20;
}

// Mapped one by one, aligned to a huge page when large: anonymous memory is zero and costs nothing
// until it is written.
AlignedBuffer::AlignedBuffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const bool large = bytes >= kHugePage;
  const size_t mapped = large ? bytes + kHugePage : bytes;
  void* base = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(base);
  if (!large) return;
  const auto address = reinterpret_cast<uintptr_t>(base);
  const uintptr_t aligned = (address + kHugePage - 1) / kHugePage * kHugePage;
  const size_t before = aligned - address;
  if (before > 0) ::munmap(base, before);
  constexpr size_t kPage = 4096;
  const size_t kept = (bytes + kPage - 1) / kPage * kPage;
  if (const size_t after = mapped - before - kept; after >= kPage)
    ::munmap(reinterpret_cast<void*>(aligned + kept), after / kPage * kPage);
  data_ = reinterpret_cast<uint8_t*>(aligned);
  ::madvise(data_, bytes, MADV_HUGEPAGE);
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

}  // namespace dspark::compute

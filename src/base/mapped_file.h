// A file mapped read-only. Model files are read once and repacked; release() gives pages back, so
// that a load never holds the file and its repacked form at the same time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "base/result.h"

namespace dspark {

class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

  // Tells the kernel that [offset, offset + bytes) is no longer needed in memory. Reading it again
  // works.
  void release(size_t offset, size_t bytes) const;

 private:
  MappedFile(const uint8_t* data, size_t size, std::filesystem::path path);
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  std::filesystem::path path_;
};

}  // namespace dspark

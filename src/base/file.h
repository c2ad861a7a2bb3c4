// Whole files: read with a size limit, written so that a reader sees the old content or the new.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dspark {

// The content of a regular file of at most max_bytes.
Result<std::string> read_file(const std::filesystem::path& path, size_t max_bytes);

// Writes to a temporary name beside path, fsyncs, renames. On error nothing is left behind.
Status write_file_atomically(const std::filesystem::path& path, std::string_view content);

// Adds to the end of a file, which is made if it is not there.
Status append_to_file(const std::filesystem::path& path, std::string_view content);

// Bytes that the disk has left where a file would lie; empty where the system does not say.
std::optional<uint64_t> free_bytes(const std::filesystem::path& file);

// A file being written under a temporary name; it appears at its path on commit() and not before.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();  // removes the temporary file unless committed

  Status write(const void* data, size_t bytes);
  Status commit();

 private:
  AtomicFile(int fd, std::filesystem::path path, std::filesystem::path temporary);
  int fd_;
  std::filesystem::path path_, temporary_;
};

}  // namespace dspark

// A folder of a test's own, removed with everything in it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/base.h"

namespace dspark {

class ScratchFolder {
 public:
  ScratchFolder() {
    // In memory where there is such a place: files are written with fsync.
    const std::filesystem::path memory = "/dev/shm";
    const bool given = ::getenv("TMPDIR") != nullptr || ::access(memory.c_str(), W_OK) != 0;
    std::string name =
        (given ? std::filesystem::temp_directory_path() : memory) / "dspark-test-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr, "{}", name);
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  void write(const std::string& name, std::string_view content) const {
    const Status status = write_file_atomically(path_ / name, content);
    CHECK(status.ok(), "{}", status.message());
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace dspark

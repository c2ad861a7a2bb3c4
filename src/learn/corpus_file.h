// A corpus being written: rows are appended as they are done, and once all are, put into the order
// of their prompts. Killed at any moment, it is opened again and goes on; the end is the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/base.h"

namespace dspark::learn {

class CorpusFile {
 public:
  // ids: of the rows to come, in order, distinct. The file is made if it is not there; a torn last
  // line is dropped. An error when another process writes it, or a row is none of these.
  static Result<CorpusFile> open(const std::filesystem::path& path,
                                 const std::vector<std::string>& ids);
  CorpusFile(CorpusFile&& other) noexcept;
  CorpusFile& operator=(CorpusFile&&) = delete;
  ~CorpusFile();

  bool done(size_t row) const { return rows_[row].bytes > 0; }
  size_t rows_done() const { return rows_done_; }
  uint64_t bytes() const { return end_; }

  // line: without LF, not empty. From now on it outlives the process; the machine, after sync().
  Status append(size_t row, std::string_view line);
  Status sync();
  // Rewrites the file in order, at once or not at all.
  Status sort();

 private:
  struct Place {
    uint64_t offset = 0, bytes = 0;  // bytes with LF; 0: not there
  };
  CorpusFile(int fd, std::filesystem::path path, size_t rows);
  Status read(const std::unordered_map<std::string_view, size_t>& row_of);
  void take(size_t row, uint64_t offset, uint64_t bytes);

  int fd_;
  std::filesystem::path path_;
  std::vector<Place> rows_;
  size_t rows_done_ = 0, last_row_ = 0;
  uint64_t end_ = 0;
  bool in_order_ = true;
};

}  // namespace dspark::learn

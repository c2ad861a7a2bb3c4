// The lines of a file of any size, one at a time. Private to the room learn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "learn/faults.h"

namespace dspark::learn {

class LineReader {
 public:
  static Result<LineReader> open(const std::filesystem::path& path);
  LineReader(LineReader&& other) noexcept;
  LineReader& operator=(LineReader&& other) noexcept;
  ~LineReader();

  // The next line; false at the end.
  Result<bool> next();

  // Of the line that next() found. The text is without its LF, valid until the next call, and empty
  // for one that is too long.
  std::string_view text() const { return text_; }
  size_t number() const { return number_; }      // from 1
  uint64_t offset() const { return offset_; }    // of its first byte in the file
  uint64_t end() const { return next_offset_; }  // of the line after it
  bool whole() const { return whole_; }          // an LF ends it
  bool too_long() const { return too_long_; }
  bool blank() const {
    return !too_long_ && text_.find_first_not_of(" \t\r") == std::string_view::npos;
  }
  std::string place() const;  // "file:3"

 private:
  LineReader(int fd, std::string name);
  Result<bool> fill();  // reads on; false at the end of the file

  int fd_;
  std::string name_;
  std::vector<char> buffer_;
  size_t begin_ = 0, filled_ = 0;  // what is not used yet: [begin_, filled_)
  std::string_view text_;
  size_t number_ = 0;
  uint64_t offset_ = 0, next_offset_ = 0;
  bool whole_ = false, too_long_ = false;
};

}  // namespace dspark::learn

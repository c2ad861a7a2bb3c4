// Private to the GGUF reader: a place in the file's bytes, and reads that never leave them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/base.h"

namespace dspark::formats {

class GgufCursor {
 public:
  GgufCursor(const uint8_t* data, size_t size, const std::string& name)
      : data_(data), size_(size), name_(name) {}

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  size_t at() const { return at_; }
  uint64_t remaining() const { return size_ - at_; }

  // "FILE: at byte N: ..."
  template <class... Args>
  Error error_at(size_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    return fail("{}: at byte {}: {}", name_, offset,
                fmt::format(format, std::forward<Args>(args)...));
  }

  template <class T>
  Status read(T& value, std::string_view what) {
    if (remaining() < sizeof value)
      return error_at(at_, "the file ends inside {} ({} bytes wanted, {} left)", what, sizeof value,
                      remaining());
    std::memcpy(&value, data_ + at_, sizeof value);
    at_ += sizeof value;
    return {};
  }

  // Items that the caller has checked to be there, with check_count().
  template <class Stored, class Wide>
  void read_items(Wide* items, size_t count) {
    for (size_t i = 0; i < count; ++i, at_ += sizeof(Stored)) {
      Stored stored;
      std::memcpy(&stored, data_ + at_, sizeof stored);
      items[i] = static_cast<Wide>(stored);
    }
  }

  // A view into the file.
  Status read_text(std::string_view& text, uint64_t longest, std::string_view what);
  // A key or a tensor's name: some UTF-8.
  Status read_identifier(std::string_view& text, uint64_t longest, std::string_view what);

  // A count, then check_count().
  Status read_count(uint64_t& count, uint64_t most, uint64_t least_bytes, std::string_view what);
  // Whether `count` things of at least so many bytes each can follow; start is for the message.
  Status check_count(size_t start, uint64_t count, uint64_t most, uint64_t least_bytes,
                     std::string_view what) const;

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
  std::string name_;
};

}  // namespace dspark::formats

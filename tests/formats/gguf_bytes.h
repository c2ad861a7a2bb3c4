// Builds GGUF files byte by byte, so that tests can lie in any field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dspark {

class GgufBytes {
 public:
  template <class T>
  GgufBytes& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  GgufBytes& u32(uint32_t value) { return put(value); }
  GgufBytes& u64(uint64_t value) { return put(value); }
  GgufBytes& text(std::string_view value) {
    u64(value.size());
    bytes_.append(value);
    return *this;
  }
  GgufBytes& raw(std::string_view value) {
    bytes_.append(value);
    return *this;
  }
  GgufBytes& header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(keys);
  }
  GgufBytes& tensor(std::string_view name, const std::vector<uint64_t>& innermost_first,
                    uint32_t type, uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(innermost_first.size()));
    for (const uint64_t extent : innermost_first) u64(extent);
    return u32(type).u64(offset);
  }
  GgufBytes& key_u32(std::string_view key, uint32_t value) { return text(key).u32(4).u32(value); }
  GgufBytes& key_text(std::string_view key, std::string_view value) {
    return text(key).u32(8).text(value);
  }
  // Pads to the alignment, then appends this many bytes of data.
  GgufBytes& data(size_t count, size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment, '\0');
    for (size_t i = 0; i < count; ++i) bytes_.push_back(static_cast<char>(i));
    return *this;
  }
  const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace dspark

// A safetensors file from the text of its header and its data.
#pragma once

#include <cstdint>
#include <string>

namespace dspark {

inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

}  // namespace dspark

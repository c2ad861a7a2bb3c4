#include "train/event_file.h"

#include <array>
#include <chrono>
#include <cstring>

namespace dspark::train {
namespace {

// CRC-32C, reflected, as TFRecord masks it.
uint32_t masked_checksum(const std::string& bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0x82f63b78u ^ (c >> 1) : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  uint32_t c = 0xffffffffu;
  for (const char b : bytes) c = table[(c ^ static_cast<uint8_t>(b)) & 0xff] ^ (c >> 8);
  c = ~c;
  return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

// Protocol buffers' wire format.
std::string varint(uint64_t v) {
  std::string out;
  for (; v >= 128; v >>= 7) out += static_cast<char>((v & 127) | 128);
  return out + static_cast<char>(v);
}
std::string key(int field, int wire) { return varint(static_cast<uint64_t>(field << 3 | wire)); }
std::string text(int field, const std::string& bytes) {
  return key(field, 2) + varint(bytes.size()) + bytes;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// tensorflow.Event: 1 wall_time, 2 step, 3 file_version, 5 summary.
std::string event(int64_t step) {
  return key(1, 1) + raw(now()) + key(2, 0) + varint(static_cast<uint64_t>(step));
}

}  // namespace

Result<EventFile> EventFile::create(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail("{}: cannot make the folder: {}", folder.string(), error.message());
  EventFile file(folder / fmt::format("events.out.tfevents.{:.6f}.dspark", now()));
  DSPARK_RETURN_IF_ERROR(file.append(event(0) + text(3, "brain.Event:2")));
  return file;
}

Status EventFile::add(int64_t step, const std::string& prefix, const nlohmann::ordered_json& row) {
  std::string summary;
  for (const auto& [name, value] : row.items()) {
    if (!value.is_number() || name == "step") continue;
    // Summary.Value: 1 tag, 2 simple_value.
    summary += text(1, text(1, prefix + "/" + name) + key(2, 5) + raw(value.get<float>()));
  }
  return append(event(step) + text(5, summary));
}

Status EventFile::append(const std::string& data) {
  const std::string length = raw(static_cast<uint64_t>(data.size()));
  const std::string record =
      length + raw(masked_checksum(length)) + data + raw(masked_checksum(data));
  return append_to_file(path_, record);
}

}  // namespace dspark::train

#include "formats/gguf_metadata.h"

#include "formats/shown.h"

namespace dspark::formats {
namespace {

constexpr uint64_t kMaxArrayItems = 1 << 24;  // over all arrays of a file
constexpr uint64_t kStringLengthBytes = 8;

}  // namespace

template <class Stored, class Wide>
Status GgufMetadataReader::read_scalar(GgufValue& value) {
  Stored stored{};
  DSPARK_RETURN_IF_ERROR(cursor_.read(stored, "a metadata value"));
  value = static_cast<Wide>(stored);
  return {};
}

// The caller has checked that count items are there.
template <class Stored, class Wide>
void GgufMetadataReader::read_items(uint64_t count, GgufArray& array) {
  std::vector<Wide> items(static_cast<size_t>(count));
  cursor_.read_items<Stored>(items.data(), items.size());
  array.items = std::move(items);
}

Status GgufMetadataReader::read_booleans(uint64_t count, std::string_view key, GgufArray& array) {
  std::vector<bool> items(static_cast<size_t>(count));
  for (size_t i = 0; i < items.size(); ++i) {
    const size_t start = cursor_.at();
    uint8_t byte = 0;
    DSPARK_RETURN_IF_ERROR(cursor_.read(byte, "an array of booleans"));
    if (byte > 1)
      return cursor_.error_at(start, "key {}, item {}: a boolean of {}", shown(key), i, byte);
    items[i] = byte == 1;
  }
  array.items = std::move(items);
  return {};
}

Status GgufMetadataReader::read_strings(uint64_t count, GgufArray& array) {
  std::vector<std::string> items;
  items.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view text;
    DSPARK_RETURN_IF_ERROR(cursor_.read_text(text, cursor_.size(), "a string of an array"));
    items.emplace_back(text);
  }
  array.items = std::move(items);
  return {};
}

Status GgufMetadataReader::read_array(std::string_view key, GgufValue& value) {
  const size_t start = cursor_.at();
  uint32_t number = 0;
  DSPARK_RETURN_IF_ERROR(cursor_.read(number, "an array's kind"));
  const auto kind = static_cast<GgufKind>(number);
  if (kind == GgufKind::kArray)
    return cursor_.error_at(start, "key {}: an array of arrays is not supported", shown(key));
  const uint64_t item_bytes =
      kind == GgufKind::kString ? kStringLengthBytes : gguf_kind_bytes(kind);
  if (item_bytes == 0)
    return cursor_.error_at(start, "key {}: array of kind {}, expected 0 to 12", shown(key),
                            number);
  const size_t count_at = cursor_.at();
  uint64_t count = 0;
  DSPARK_RETURN_IF_ERROR(cursor_.read(count, "an array's length"));
  DSPARK_RETURN_IF_ERROR(cursor_.check_count(count_at, count, kMaxArrayItems - items_read_,
                                             item_bytes, "array items"));
  items_read_ += count;
  GgufArray array;
  switch (kind) {
    case GgufKind::kU8:
      read_items<uint8_t, uint64_t>(count, array);
      break;
    case GgufKind::kI8:
      read_items<int8_t, int64_t>(count, array);
      break;
    case GgufKind::kU16:
      read_items<uint16_t, uint64_t>(count, array);
      break;
    case GgufKind::kI16:
      read_items<int16_t, int64_t>(count, array);
      break;
    case GgufKind::kU32:
      read_items<uint32_t, uint64_t>(count, array);
      break;
    case GgufKind::kI32:
      read_items<int32_t, int64_t>(count, array);
      break;
    case GgufKind::kU64:
      read_items<uint64_t, uint64_t>(count, array);
      break;
    case GgufKind::kI64:
      read_items<int64_t, int64_t>(count, array);
      break;
    case GgufKind::kF32:
      read_items<float, double>(count, array);
      break;
    case GgufKind::kF64:
      read_items<double, double>(count, array);
      break;
    case GgufKind::kBool:
      DSPARK_RETURN_IF_ERROR(read_booleans(count, key, array));
      break;
    default:
      DSPARK_RETURN_IF_ERROR(read_strings(count, array));
      break;
  }
  value = std::move(array);
  return {};
}

Status GgufMetadataReader::read_value(GgufKind kind, std::string_view key, GgufValue& value) {
  switch (kind) {
    case GgufKind::kU8:
      return read_scalar<uint8_t, uint64_t>(value);
    case GgufKind::kI8:
      return read_scalar<int8_t, int64_t>(value);
    case GgufKind::kU16:
      return read_scalar<uint16_t, uint64_t>(value);
    case GgufKind::kI16:
      return read_scalar<int16_t, int64_t>(value);
    case GgufKind::kU32:
      return read_scalar<uint32_t, uint64_t>(value);
    case GgufKind::kI32:
      return read_scalar<int32_t, int64_t>(value);
    case GgufKind::kU64:
      return read_scalar<uint64_t, uint64_t>(value);
    case GgufKind::kI64:
      return read_scalar<int64_t, int64_t>(value);
    case GgufKind::kF32:
      return read_scalar<float, double>(value);
    case GgufKind::kF64:
      return read_scalar<double, double>(value);
    case GgufKind::kBool: {
      const size_t start = cursor_.at();
      uint8_t byte = 0;
      DSPARK_RETURN_IF_ERROR(cursor_.read(byte, "a metadata value"));
      if (byte > 1) return cursor_.error_at(start, "key {}: a boolean of {}", shown(key), byte);
      value = byte == 1;
      return {};
    }
    case GgufKind::kString: {
      std::string_view text;
      DSPARK_RETURN_IF_ERROR(cursor_.read_text(text, cursor_.size(), "a metadata string"));
      value = std::string(text);
      return {};
    }
    case GgufKind::kArray:
      return read_array(key, value);
  }
  return cursor_.error_at(cursor_.at() - sizeof(uint32_t),
                          "key {}: metadata kind {}, expected 0 to 12", shown(key),
                          static_cast<uint32_t>(kind));
}

}  // namespace dspark::formats

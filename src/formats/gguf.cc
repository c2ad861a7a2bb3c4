#include "formats/gguf.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "formats/gguf_types.h"
#include "formats/shown.h"

namespace dspark::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are mapped as they are");

// Far beyond any model, and small enough that a lying file costs little memory.
constexpr uint64_t kMaxKeys = 1 << 16;
constexpr uint64_t kMaxTensors = 1 << 17;
constexpr uint64_t kMaxArrayItems = 1 << 24;  // over all arrays of a file
constexpr uint64_t kMaxAlignment = 1 << 20;

// The least that one of these takes in a file; a count above the bytes left over this is a lie.
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8;
constexpr uint64_t kStringLengthBytes = 8;

}  // namespace

class GgufParser {
 public:
  GgufParser(const uint8_t* data, size_t size, const std::string& name) : data_(data), size_(size) {
    file_.name_ = name;
  }

  Result<GgufFile> parse() {
    DSPARK_RETURN_IF_ERROR(read_header());
    DSPARK_RETURN_IF_ERROR(read_metadata());
    DSPARK_RETURN_IF_ERROR(read_tensors());
    DSPARK_RETURN_IF_ERROR(check_overlaps());
    return std::move(file_);
  }

 private:
  uint64_t remaining() const { return size_ - at_; }

  template <class... Args>
  Error error_at(size_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    return fail("{}: at byte {}: {}", file_.name_, offset,
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

  // A view into the file.
  Status read_text(std::string_view& text, uint64_t longest, std::string_view what) {
    const size_t start = at_;
    uint64_t length = 0;
    DSPARK_RETURN_IF_ERROR(read(length, what));
    if (length > longest)
      return error_at(start, "{} has {} bytes, at most {} expected", what, length, longest);
    if (length > remaining())
      return error_at(start, "{} has {} bytes, only {} are left", what, length, remaining());
    text = {reinterpret_cast<const char*>(data_ + at_), static_cast<size_t>(length)};
    at_ += static_cast<size_t>(length);
    return {};
  }

  // A key or a tensor's name: some UTF-8.
  Status read_identifier(std::string_view& text, uint64_t longest, std::string_view what) {
    const size_t start = at_;
    DSPARK_RETURN_IF_ERROR(read_text(text, longest, what));
    if (text.empty()) return error_at(start, "{} is empty", what);
    if (!simdjson::validate_utf8(text.data(), text.size()))
      return error_at(start, "{} {} is not UTF-8", what, shown(text));
    return {};
  }

  Status read_header() {
    uint32_t magic = 0;
    if (size_ < sizeof magic) return fail("{}: not a GGUF file ({} bytes)", file_.name_, size_);
    DSPARK_RETURN_IF_ERROR(read(magic, "the magic number"));
    if (magic != kGgufMagic)
      return error_at(0, "not a GGUF file: starts with {:#010x}, expected 'GGUF'", magic);
    const size_t version_at = at_;
    DSPARK_RETURN_IF_ERROR(read(file_.version_, "the version"));
    if ((file_.version_ & 0xffffu) == 0 && file_.version_ != 0)
      return error_at(version_at, "a big-endian GGUF file; only little-endian ones are read");
    if (file_.version_ != 2 && file_.version_ != 3)
      return error_at(version_at, "GGUF version {}, expected 2 or 3", file_.version_);
    DSPARK_RETURN_IF_ERROR(read_count(tensor_count_, kMaxTensors, kLeastTensorBytes, "tensors"));
    return read_count(key_count_, kMaxKeys, kLeastKeyBytes, "metadata keys");
  }

  Status read_count(uint64_t& count, uint64_t most, uint64_t least_bytes, std::string_view what) {
    const size_t start = at_;
    DSPARK_RETURN_IF_ERROR(read(count, "a count"));
    return check_count(start, count, most, least_bytes, what);
  }

  Status check_count(size_t start, uint64_t count, uint64_t most, uint64_t least_bytes,
                     std::string_view what) const {
    if (count > most) return error_at(start, "{} {}, at most {} expected", count, what, most);
    if (count > remaining() / least_bytes)
      return error_at(start, "{} {} cannot fit in the {} bytes left", count, what, remaining());
    return {};
  }

  Status read_metadata() {
    for (uint64_t i = 0; i < key_count_; ++i) {
      const size_t start = at_;
      std::string_view key;
      DSPARK_RETURN_IF_ERROR(read_identifier(key, kGgufMaxKeyBytes, "a metadata key"));
      uint32_t kind = 0;
      DSPARK_RETURN_IF_ERROR(read(kind, "a metadata kind"));
      GgufValue value;
      DSPARK_RETURN_IF_ERROR(read_value(static_cast<GgufKind>(kind), key, value));
      if (!file_.metadata_.emplace(key, std::move(value)).second)
        return error_at(start, "metadata key {} appears twice", shown(key));
    }
    return {};
  }

  template <class Stored, class Wide>
  Status read_scalar(GgufValue& value) {
    Stored stored{};
    DSPARK_RETURN_IF_ERROR(read(stored, "a metadata value"));
    value = static_cast<Wide>(stored);
    return {};
  }

  Status read_value(GgufKind kind, std::string_view key, GgufValue& value) {
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
        const size_t start = at_;
        uint8_t byte = 0;
        DSPARK_RETURN_IF_ERROR(read(byte, "a metadata value"));
        if (byte > 1) return error_at(start, "key {}: a boolean of {}", shown(key), byte);
        value = byte == 1;
        return {};
      }
      case GgufKind::kString: {
        std::string_view text;
        DSPARK_RETURN_IF_ERROR(read_text(text, size_, "a metadata string"));
        value = std::string(text);
        return {};
      }
      case GgufKind::kArray:
        return read_array(key, value);
    }
    return error_at(at_ - sizeof(uint32_t), "key {}: metadata kind {}, expected 0 to 12",
                    shown(key), static_cast<uint32_t>(kind));
  }

  Status read_array(std::string_view key, GgufValue& value) {
    const size_t start = at_;
    uint32_t number = 0;
    DSPARK_RETURN_IF_ERROR(read(number, "an array's kind"));
    const auto kind = static_cast<GgufKind>(number);
    if (kind == GgufKind::kArray)
      return error_at(start, "key {}: an array of arrays is not supported", shown(key));
    const uint64_t item_bytes =
        kind == GgufKind::kString ? kStringLengthBytes : gguf_kind_bytes(kind);
    if (item_bytes == 0)
      return error_at(start, "key {}: array of kind {}, expected 0 to 12", shown(key), number);
    const size_t count_at = at_;
    uint64_t count = 0;
    DSPARK_RETURN_IF_ERROR(read(count, "an array's length"));
    DSPARK_RETURN_IF_ERROR(
        check_count(count_at, count, kMaxArrayItems - array_items_, item_bytes, "array items"));
    array_items_ += count;
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

  // The caller has checked that count items are there.
  template <class Stored, class Wide>
  void read_items(uint64_t count, GgufArray& array) {
    std::vector<Wide> items(static_cast<size_t>(count));
    for (size_t i = 0; i < items.size(); ++i) {
      Stored stored;
      std::memcpy(&stored, data_ + at_ + i * sizeof stored, sizeof stored);
      items[i] = static_cast<Wide>(stored);
    }
    at_ += items.size() * sizeof(Stored);
    array.items = std::move(items);
  }

  Status read_booleans(uint64_t count, std::string_view key, GgufArray& array) {
    std::vector<bool> items(static_cast<size_t>(count));
    for (size_t i = 0; i < items.size(); ++i, ++at_) {
      if (data_[at_] > 1)
        return error_at(at_, "key {}, item {}: a boolean of {}", shown(key), i, data_[at_]);
      items[i] = data_[at_] == 1;
    }
    array.items = std::move(items);
    return {};
  }

  Status read_strings(uint64_t count, GgufArray& array) {
    std::vector<std::string> items;
    items.reserve(static_cast<size_t>(count));
    for (uint64_t i = 0; i < count; ++i) {
      std::string_view text;
      DSPARK_RETURN_IF_ERROR(read_text(text, size_, "a string of an array"));
      items.emplace_back(text);
    }
    array.items = std::move(items);
    return {};
  }

  Result<uint64_t> alignment() const {
    const auto found = file_.metadata_.find("general.alignment");
    if (found == file_.metadata_.end()) return kGgufDefaultAlignment;
    const auto* value = std::get_if<uint64_t>(&found->second);
    if (value == nullptr || !std::has_single_bit(*value) || *value > kMaxAlignment)
      return fail("{}: key general.alignment: expected an unsigned power of two up to {}{}",
                  file_.name_, kMaxAlignment,
                  value == nullptr ? std::string() : fmt::format(", found {}", *value));
    return *value;
  }

  Status read_tensors() {
    DSPARK_TRY(const uint64_t alignment_bytes, alignment());
    std::vector<uint64_t> offsets;
    offsets.reserve(static_cast<size_t>(tensor_count_));
    file_.tensors_.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      const size_t start = at_;
      TensorView tensor;
      DSPARK_RETURN_IF_ERROR(read_tensor(tensor));
      uint64_t offset = 0;
      DSPARK_RETURN_IF_ERROR(read(offset, "a tensor's offset"));
      if (offset % alignment_bytes != 0)
        return error_at(start, "tensor {}: offset {} is not a multiple of the alignment {}",
                        shown(tensor.name), offset, alignment_bytes);
      if (!file_.index_.emplace(tensor.name, file_.tensors_.size()).second)
        return error_at(start, "tensor {} appears twice", shown(tensor.name));
      offsets.push_back(offset);
      file_.tensors_.push_back(std::move(tensor));
    }
    return place_tensors(offsets, alignment_bytes);
  }

  // All of a tensor's entry but its offset.
  Status read_tensor(TensorView& tensor) {
    const size_t start = at_;
    std::string_view name;
    DSPARK_RETURN_IF_ERROR(read_identifier(name, kGgufMaxNameBytes, "a tensor's name"));
    tensor.name = std::string(name);
    uint32_t dimensions = 0;
    DSPARK_RETURN_IF_ERROR(read(dimensions, "a tensor's number of dimensions"));
    if (dimensions > kGgufMaxDimensions)
      return error_at(start, "tensor {}: {} dimensions, at most {} expected", shown(name),
                      dimensions, kGgufMaxDimensions);
    int64_t values = 1;
    tensor.shape.resize(dimensions);
    for (uint32_t d = 0; d < dimensions; ++d) {  // the file has the innermost first
      uint64_t extent = 0;
      DSPARK_RETURN_IF_ERROR(read(extent, "a tensor's dimensions"));
      if (extent == 0) return error_at(start, "tensor {}: dimension {} is 0", shown(name), d);
      if (__builtin_mul_overflow(values, extent, &values))
        return error_at(start, "tensor {}: its dimensions overflow at dimension {} of {}",
                        shown(name), d, extent);
      tensor.shape[dimensions - 1 - d] = static_cast<int64_t>(extent);
    }
    uint32_t type = 0;
    DSPARK_RETURN_IF_ERROR(read(type, "a tensor's type"));
    const std::optional<DType> known = dtype_from_gguf(type);
    if (!known.has_value())
      return error_at(start, "tensor {}: type {} ({}) is not supported", shown(name), type,
                      gguf_type_name(type));
    const DTypeInfo& info = dtype_info(*known);
    if (tensor.columns() % info.block_values != 0)
      return error_at(start, "tensor {}: rows of {} values, expected a multiple of {} for {}",
                      shown(name), tensor.columns(), info.block_values, info.name);
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(values / info.block_values),
                               static_cast<uint64_t>(info.block_bytes), &bytes) ||
        bytes > size_)
      return error_at(start, "tensor {}: its {} values of {} are larger than the file", shown(name),
                      values, info.name);
    tensor.type = *known;
    tensor.bytes = static_cast<size_t>(bytes);
    return {};
  }

  // The data section starts at the first multiple of the alignment after the tensor table.
  Status place_tensors(const std::vector<uint64_t>& offsets, uint64_t alignment_bytes) {
    const uint64_t section = (at_ + alignment_bytes - 1) / alignment_bytes * alignment_bytes;
    const uint64_t available = size_ > section ? size_ - section : 0;
    for (size_t i = 0; i < offsets.size(); ++i) {
      TensorView& tensor = file_.tensors_[i];
      if (offsets[i] > available || tensor.bytes > available - offsets[i])
        return fail(
            "{}: tensor {}: {} bytes at offset {} of the data section, which has {} bytes (is the "
            "file cut short?)",
            file_.name_, shown(tensor.name), tensor.bytes, offsets[i], available);
      tensor.data = data_ + section + offsets[i];
    }
    return {};
  }

  Status check_overlaps() const {
    std::vector<const TensorView*> order;
    order.reserve(file_.tensors_.size());
    for (const TensorView& tensor : file_.tensors_) order.push_back(&tensor);
    std::sort(order.begin(), order.end(),
              [](const TensorView* a, const TensorView* b) { return a->data < b->data; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data)
        return fail("{}: tensors {} and {} overlap", file_.name_, shown(order[i - 1]->name),
                    shown(order[i]->name));
    }
    return {};
  }

  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
  uint64_t tensor_count_ = 0, key_count_ = 0, array_items_ = 0;
  GgufFile file_;
};

Result<GgufFile> GgufFile::parse(const uint8_t* data, size_t size, const std::string& name) {
  return GgufParser(data, size, name).parse();
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  DSPARK_TRY(MappedFile map, MappedFile::open(path));
  DSPARK_TRY(GgufFile file, parse(map.data(), map.size(), path.string()));
  file.map_.push_back(std::move(map));
  return file;
}

const TensorView* GgufFile::find(std::string_view tensor_name) const {
  const auto found = index_.find(tensor_name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void GgufFile::release(const TensorView& tensor) const {
  if (map_.empty()) return;
  map_[0].release(static_cast<size_t>(tensor.data - map_[0].data()), tensor.bytes);
}

}  // namespace dspark::formats

#include "formats/gguf.h"

#include <algorithm>
#include <bit>

#include "formats/gguf_cursor.h"
#include "formats/gguf_metadata.h"
#include "formats/gguf_types.h"
#include "formats/shown.h"

namespace dspark::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are mapped as they are");

// Far beyond any model, and small enough that a lying file costs little memory.
constexpr uint64_t kMaxKeys = 1 << 16;
constexpr uint64_t kMaxTensors = 1 << 17;
constexpr uint64_t kMaxAlignment = 1 << 20;

// The least that one of these takes in a file; a count above the bytes left over this is a lie.
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8;

}  // namespace

class GgufParser {
 public:
  GgufParser(const uint8_t* data, size_t size, const std::string& name)
      : cursor_(data, size, name) {
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
  Status read_header() {
    uint32_t magic = 0;
    if (cursor_.size() < sizeof magic)
      return fail("{}: not a GGUF file ({} bytes)", file_.name_, cursor_.size());
    DSPARK_RETURN_IF_ERROR(cursor_.read(magic, "the magic number"));
    if (magic != kGgufMagic)
      return cursor_.error_at(0, "not a GGUF file: starts with {:#010x}, expected 'GGUF'", magic);
    const size_t version_at = cursor_.at();
    DSPARK_RETURN_IF_ERROR(cursor_.read(file_.version_, "the version"));
    if ((file_.version_ & 0xffffu) == 0 && file_.version_ != 0)
      return cursor_.error_at(version_at,
                              "a big-endian GGUF file; only little-endian ones are read");
    if (file_.version_ != 2 && file_.version_ != 3)
      return cursor_.error_at(version_at, "GGUF version {}, expected 2 or 3", file_.version_);
    DSPARK_RETURN_IF_ERROR(
        cursor_.read_count(tensor_count_, kMaxTensors, kLeastTensorBytes, "tensors"));
    return cursor_.read_count(key_count_, kMaxKeys, kLeastKeyBytes, "metadata keys");
  }

  Status read_metadata() {
    GgufMetadataReader values(cursor_);
    for (uint64_t i = 0; i < key_count_; ++i) {
      const size_t start = cursor_.at();
      std::string_view key;
      DSPARK_RETURN_IF_ERROR(cursor_.read_identifier(key, kGgufMaxKeyBytes, "a metadata key"));
      uint32_t kind = 0;
      DSPARK_RETURN_IF_ERROR(cursor_.read(kind, "a metadata kind"));
      GgufValue value;
      DSPARK_RETURN_IF_ERROR(values.read_value(static_cast<GgufKind>(kind), key, value));
      if (!file_.metadata_.emplace(key, std::move(value)).second)
        return cursor_.error_at(start, "metadata key {} appears twice", shown(key));
    }
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
      const size_t start = cursor_.at();
      TensorView tensor;
      DSPARK_RETURN_IF_ERROR(read_tensor(tensor));
      uint64_t offset = 0;
      DSPARK_RETURN_IF_ERROR(cursor_.read(offset, "a tensor's offset"));
      if (offset % alignment_bytes != 0)
        return cursor_.error_at(start, "tensor {}: offset {} is not a multiple of the alignment {}",
                                shown(tensor.name), offset, alignment_bytes);
      if (!file_.index_.emplace(tensor.name, file_.tensors_.size()).second)
        return cursor_.error_at(start, "tensor {} appears twice", shown(tensor.name));
      offsets.push_back(offset);
      file_.tensors_.push_back(std::move(tensor));
    }
    return place_tensors(offsets, alignment_bytes);
  }

  // All of a tensor's entry but its offset.
  Status read_tensor(TensorView& tensor) {
    const size_t start = cursor_.at();
    std::string_view name;
    DSPARK_RETURN_IF_ERROR(cursor_.read_identifier(name, kGgufMaxNameBytes, "a tensor's name"));
    tensor.name = std::string(name);
    uint32_t dimensions = 0;
    DSPARK_RETURN_IF_ERROR(cursor_.read(dimensions, "a tensor's number of dimensions"));
    if (dimensions > kGgufMaxDimensions)
      return cursor_.error_at(start, "tensor {}: {} dimensions, at most {} expected", shown(name),
                              dimensions, kGgufMaxDimensions);
    int64_t values = 1;
    tensor.shape.resize(dimensions);
    for (uint32_t d = 0; d < dimensions; ++d) {  // the file has the innermost first
      uint64_t extent = 0;
      DSPARK_RETURN_IF_ERROR(cursor_.read(extent, "a tensor's dimensions"));
      if (extent == 0)
        return cursor_.error_at(start, "tensor {}: dimension {} is 0", shown(name), d);
      if (__builtin_mul_overflow(values, extent, &values))
        return cursor_.error_at(start, "tensor {}: its dimensions overflow at dimension {} of {}",
                                shown(name), d, extent);
      tensor.shape[dimensions - 1 - d] = static_cast<int64_t>(extent);
    }
    uint32_t type = 0;
    DSPARK_RETURN_IF_ERROR(cursor_.read(type, "a tensor's type"));
    const std::optional<DType> known = dtype_from_gguf(type);
    if (!known.has_value())
      return cursor_.error_at(start, "tensor {}: type {} ({}) is not supported", shown(name), type,
                              gguf_type_name(type));
    const DTypeInfo& info = dtype_info(*known);
    if (tensor.columns() % info.block_values != 0)
      return cursor_.error_at(start,
                              "tensor {}: rows of {} values, expected a multiple of {} for {}",
                              shown(name), tensor.columns(), info.block_values, info.name);
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(values / info.block_values),
                               static_cast<uint64_t>(info.block_bytes), &bytes) ||
        bytes > cursor_.size())
      return cursor_.error_at(start, "tensor {}: its {} values of {} are larger than the file",
                              shown(name), values, info.name);
    tensor.type = *known;
    tensor.bytes = static_cast<size_t>(bytes);
    return {};
  }

  // The data section starts at the first multiple of the alignment after the tensor table.
  Status place_tensors(const std::vector<uint64_t>& offsets, uint64_t alignment_bytes) {
    const uint64_t section =
        (cursor_.at() + alignment_bytes - 1) / alignment_bytes * alignment_bytes;
    const uint64_t available = cursor_.size() > section ? cursor_.size() - section : 0;
    for (size_t i = 0; i < offsets.size(); ++i) {
      TensorView& tensor = file_.tensors_[i];
      if (offsets[i] > available || tensor.bytes > available - offsets[i])
        return fail(
            "{}: tensor {}: {} bytes at offset {} of the data section, which has {} bytes (is the "
            "file cut short?)",
            file_.name_, shown(tensor.name), tensor.bytes, offsets[i], available);
      tensor.data = cursor_.data() + section + offsets[i];
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

  GgufCursor cursor_;
  uint64_t tensor_count_ = 0, key_count_ = 0;
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

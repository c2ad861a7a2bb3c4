#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "formats/gguf.h"
#include "formats/gguf_types.h"
#include "formats/shown.h"

namespace dspark::formats {
namespace {

constexpr uint32_t kVersion = 3;

uint64_t align_up(uint64_t bytes) {
  return (bytes + kGgufDefaultAlignment - 1) / kGgufDefaultAlignment * kGgufDefaultAlignment;
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out.append(text);
}

bool fits(uint64_t value) { return value <= std::numeric_limits<uint32_t>::max(); }
bool fits(int64_t value) {
  return value >= std::numeric_limits<int32_t>::min() &&
         value <= std::numeric_limits<int32_t>::max();
}
// A finite double that f32 turns into infinity keeps its width.
bool fits(double value) {
  return !std::isfinite(value) || std::isfinite(static_cast<float>(value));
}

template <class Wide>
struct Widths;
template <>
struct Widths<uint64_t> {
  using Narrow = uint32_t;
  static constexpr GgufKind kNarrow = GgufKind::kU32, kWide = GgufKind::kU64;
};
template <>
struct Widths<int64_t> {
  using Narrow = int32_t;
  static constexpr GgufKind kNarrow = GgufKind::kI32, kWide = GgufKind::kI64;
};
template <>
struct Widths<double> {
  using Narrow = float;
  static constexpr GgufKind kNarrow = GgufKind::kF32, kWide = GgufKind::kF64;
};

void put_kind(std::string& out, GgufKind kind) { put(out, static_cast<uint32_t>(kind)); }

// Appends a value's kind and content; for an array the kind array, the items' kind, their count,
// the items.
struct PutValue {
  std::string& out;

  void operator()(bool value) const {
    put_kind(out, GgufKind::kBool);
    put<uint8_t>(out, value);
  }
  void operator()(const std::string& value) const {
    put_kind(out, GgufKind::kString);
    put_text(out, value);
  }
  template <class Wide>
  void operator()(Wide value) const {
    const bool narrow = fits(value);
    put_kind(out, narrow ? Widths<Wide>::kNarrow : Widths<Wide>::kWide);
    put_number(value, narrow);
  }
  void operator()(const GgufArray& array) const {
    put_kind(out, GgufKind::kArray);
    std::visit([this](const auto& items) { put_items(items); }, array.items);
  }

 private:
  template <class Wide>
  void put_number(Wide value, bool narrow) const {
    if (narrow)
      put(out, static_cast<typename Widths<Wide>::Narrow>(value));
    else
      put(out, value);
  }
  void put_items(const std::vector<bool>& items) const {
    put_kind(out, GgufKind::kBool);
    put<uint64_t>(out, items.size());
    for (const bool item : items) put<uint8_t>(out, item);
  }
  void put_items(const std::vector<std::string>& items) const {
    put_kind(out, GgufKind::kString);
    put<uint64_t>(out, items.size());
    for (const std::string& item : items) put_text(out, item);
  }
  template <class Wide>
  void put_items(const std::vector<Wide>& items) const {
    const bool narrow =
        std::all_of(items.begin(), items.end(), [](Wide item) { return fits(item); });
    put_kind(out, narrow ? Widths<Wide>::kNarrow : Widths<Wide>::kWide);
    put<uint64_t>(out, items.size());
    for (const Wide item : items) put_number(item, narrow);
  }
};

bool is_identifier(std::string_view text, size_t longest) {
  return !text.empty() && text.size() <= longest &&
         simdjson::validate_utf8(text.data(), text.size());
}

}  // namespace

void GgufWriter::set(const std::string& key, GgufValue value) {
  CHECK(file_.empty(), "set({}) after begin()", key);
  CHECK(key != "general.alignment", "the writer's alignment is {}", kGgufDefaultAlignment);
  for (auto& [existing, old] : metadata_) {
    if (existing == key) {
      old = std::move(value);
      return;
    }
  }
  metadata_.emplace_back(key, std::move(value));
}

void GgufWriter::declare(const std::string& name, DType type, std::vector<int64_t> shape) {
  CHECK(file_.empty(), "declare({}) after begin()", name);
  tensors_.push_back({name, type, std::move(shape)});
}

Status GgufWriter::begin() {
  CHECK(file_.empty(), "begin() twice");
  std::string header;
  put(header, kGgufMagic);
  put(header, kVersion);
  put<uint64_t>(header, tensors_.size());
  put<uint64_t>(header, metadata_.size());
  for (const auto& [key, value] : metadata_) {
    if (!is_identifier(key, kGgufMaxKeyBytes))
      return fail("{}: metadata key {} is empty, too long or not UTF-8", path_.string(),
                  shown(key));
    put_text(header, key);
    std::visit(PutValue{header}, value);
  }
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const Declared& tensor : tensors_) {
    const auto wrong = [&](std::string_view why) {
      return fail("{}: tensor {}: {}", path_.string(), shown(tensor.name), why);
    };
    const DTypeInfo& info = dtype_info(tensor.type);
    const std::optional<uint32_t> type = gguf_from_dtype(tensor.type);
    if (!is_identifier(tensor.name, kGgufMaxNameBytes))
      return wrong("its name is empty, too long or not UTF-8");
    if (!names.insert(tensor.name).second) return wrong("declared twice");
    if (!type.has_value()) return wrong(fmt::format("GGUF has no type {}", info.name));
    if (tensor.shape.size() > kGgufMaxDimensions) return wrong("GGUF has at most 4 dimensions");
    int64_t values = 1;
    for (const int64_t extent : tensor.shape) {
      if (extent <= 0 || __builtin_mul_overflow(values, extent, &values))
        return wrong("its dimensions are not positive, or overflow");
    }
    const int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (columns % info.block_values != 0)
      return wrong(fmt::format("rows of {} values, expected a multiple of {} for {}", columns,
                               info.block_values, info.name));
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(values / info.block_values),
                               static_cast<uint64_t>(info.block_bytes), &bytes) ||
        bytes > (uint64_t{1} << 62) - offset)
      return wrong("too large");
    put_text(header, tensor.name);
    put<uint32_t>(header, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t d = tensor.shape.size(); d-- > 0;)  // innermost first
      put<uint64_t>(header, static_cast<uint64_t>(tensor.shape[d]));
    put(header, *type);
    put(header, offset);
    bytes_.push_back(static_cast<size_t>(bytes));
    offset = align_up(offset + bytes);
  }
  header.resize(align_up(header.size()), '\0');
  DSPARK_TRY(AtomicFile file, AtomicFile::create(path_));
  DSPARK_RETURN_IF_ERROR(file.write(header.data(), header.size()));
  file_.push_back(std::move(file));
  return {};
}

Status GgufWriter::write_tensor(const void* data, size_t bytes) {
  CHECK(next_ < bytes_.size() && written_ == 0 && bytes == bytes_[next_],
        "{} bytes for tensor {} of {}", bytes, next_, bytes_.size());
  return write_part(data, bytes);
}

Status GgufWriter::write_part(const void* data, size_t bytes) {
  CHECK(!file_.empty(), "tensor bytes before begin()");
  CHECK(next_ < bytes_.size(), "more tensors than the {} declared", bytes_.size());
  CHECK(bytes <= bytes_[next_] - written_, "tensor {}: more than its {} bytes",
        tensors_[next_].name, bytes_[next_]);
  DSPARK_RETURN_IF_ERROR(file_[0].write(data, bytes));
  written_ += bytes;
  if (written_ < bytes_[next_]) return {};
  constexpr char kPadding[kGgufDefaultAlignment] = {};
  DSPARK_RETURN_IF_ERROR(file_[0].write(kPadding, align_up(written_) - written_));
  ++next_;
  written_ = 0;
  return {};
}

Status GgufWriter::finish() {
  CHECK(!file_.empty(), "finish() before begin()");
  CHECK(next_ == bytes_.size(), "{} of {} tensors written", next_, bytes_.size());
  return file_[0].commit();
}

}  // namespace dspark::formats

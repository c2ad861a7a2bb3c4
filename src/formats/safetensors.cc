#include "formats/safetensors.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>

#include "formats/safetensors_types.h"
#include "formats/shown.h"

namespace dspark::formats {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxIndexBytes = 64'000'000;
constexpr size_t kHeaderDepth = 8;  // a header needs 3
constexpr size_t kMaxDimensions = 8;
constexpr size_t kMaxShards = 4096;
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

Result<simdjson::dom::element> parse_json(simdjson::dom::parser& parser, std::string_view text,
                                          const std::string& where) {
  if (const auto error = parser.allocate(text.size(), kHeaderDepth); error != simdjson::SUCCESS)
    return fail("{}: no memory for {} bytes of JSON", where, text.size());
  simdjson::dom::element root;
  if (const auto error = parser.parse(text.data(), text.size()).get(root);
      error != simdjson::SUCCESS)
    return fail("{}: not valid JSON: {}", where, simdjson::error_message(error));
  return root;
}

// One tensor's entry of the header, with its place in the data section.
struct Entry {
  TensorView tensor;
  uint64_t begin = 0, end = 0;
};

// Reads the header of one file.
class HeaderReader {
 public:
  explicit HeaderReader(const std::string& name) : name_(name) {}

  // Offsets are checked against data_bytes and against each other.
  Status read(std::string_view text, uint64_t data_bytes,
              std::map<std::string, std::string>& metadata, std::vector<Entry>& entries) const {
    simdjson::dom::parser parser;
    DSPARK_TRY(const simdjson::dom::element root, parse_json(parser, text, name_ + ": header"));
    simdjson::dom::object object;
    if (root.get(object) != simdjson::SUCCESS)
      return fail("{}: header: expected a JSON object", name_);
    bool has_metadata = false;
    for (const auto [key, value] : object) {
      if (key == "__metadata__") {
        if (has_metadata) return fail("{}: header: __metadata__ appears twice", name_);
        has_metadata = true;
        DSPARK_RETURN_IF_ERROR(read_metadata(value, metadata));
        continue;
      }
      Entry entry;
      entry.tensor.name = std::string(key);
      DSPARK_RETURN_IF_ERROR(read_entry(value, data_bytes, entry));
      entries.push_back(std::move(entry));
    }
    return check_places(data_bytes, entries);
  }

 private:
  template <class... Args>
  Error wrong(std::string_view tensor, fmt::format_string<Args...> format, Args&&... args) const {
    return fail("{}: tensor {}: {}", name_, shown(tensor),
                fmt::format(format, std::forward<Args>(args)...));
  }

  Status read_metadata(simdjson::dom::element value,
                       std::map<std::string, std::string>& metadata) const {
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS)
      return fail("{}: header: __metadata__: expected an object", name_);
    for (const auto [key, item] : object) {
      std::string_view text;
      if (item.get(text) != simdjson::SUCCESS)
        return fail("{}: header: __metadata__, key {}: expected a string", name_, shown(key));
      metadata.insert_or_assign(std::string(key), std::string(text));
    }
    return {};
  }

  Status read_entry(simdjson::dom::element value, uint64_t data_bytes, Entry& entry) const {
    const std::string& name = entry.tensor.name;
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) return wrong(name, "expected an object");
    bool has_type = false, has_shape = false, has_place = false;
    for (const auto [key, item] : object) {
      bool* seen = key == "dtype"          ? &has_type
                   : key == "shape"        ? &has_shape
                   : key == "data_offsets" ? &has_place
                                           : nullptr;
      if (seen == nullptr) return wrong(name, "unknown key {}", shown(key));
      if (*seen) return wrong(name, "key {} appears twice", shown(key));
      *seen = true;
      if (seen == &has_type)
        DSPARK_RETURN_IF_ERROR(read_type(item, entry.tensor));
      else if (seen == &has_shape)
        DSPARK_RETURN_IF_ERROR(read_shape(item, entry.tensor));
      else
        DSPARK_RETURN_IF_ERROR(read_place(item, data_bytes, entry));
    }
    if (!has_type || !has_shape || !has_place)
      return wrong(name, "expected the keys dtype, shape and data_offsets");
    return check_size(entry);
  }

  Status read_type(simdjson::dom::element item, TensorView& tensor) const {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) return wrong(tensor.name, "dtype: expected a string");
    const std::optional<DType> type = dtype_from_safetensors(text);
    if (!type.has_value())
      return wrong(tensor.name, "dtype {} is not supported (expected {})", shown(text),
                   safetensors_type_list());
    tensor.type = *type;
    return {};
  }

  Status read_shape(simdjson::dom::element item, TensorView& tensor) const {
    simdjson::dom::array array;
    if (item.get(array) != simdjson::SUCCESS)
      return wrong(tensor.name, "shape: expected an array of integers");
    for (const simdjson::dom::element extent : array) {
      int64_t number = 0;
      if (extent.get(number) != simdjson::SUCCESS || number < 0)
        return wrong(tensor.name, "shape: expected integers from 0 on");
      if (tensor.shape.size() == kMaxDimensions)
        return wrong(tensor.name, "more than {} dimensions", kMaxDimensions);
      tensor.shape.push_back(number);
    }
    return {};
  }

  Status read_place(simdjson::dom::element item, uint64_t data_bytes, Entry& entry) const {
    simdjson::dom::array array;
    uint64_t places[2] = {0, 0};
    bool good = item.get(array) == simdjson::SUCCESS && array.size() == 2;
    if (good) {
      size_t i = 0;
      for (const simdjson::dom::element place : array)
        good = place.get(places[i++]) == simdjson::SUCCESS && good;
    }
    if (!good) return wrong(entry.tensor.name, "data_offsets: expected two integers from 0 on");
    entry.begin = places[0];
    entry.end = places[1];
    if (entry.begin > entry.end)
      return wrong(entry.tensor.name, "data_offsets: begin {} is after end {}", entry.begin,
                   entry.end);
    if (entry.end > data_bytes)
      return wrong(entry.tensor.name,
                   "data_offsets: end {} is past the data section's {} bytes (is the file cut "
                   "short?)",
                   entry.end, data_bytes);
    return {};
  }

  Status check_size(Entry& entry) const {
    // Zeros are left out of the product, so that values() cannot overflow on the way to one.
    int64_t product = 1;
    bool empty = false;
    for (const int64_t extent : entry.tensor.shape) {
      if (extent == 0)
        empty = true;
      else if (__builtin_mul_overflow(product, extent, &product))
        return wrong(entry.tensor.name, "its shape overflows");
    }
    uint64_t bytes = 0;
    const auto width = static_cast<uint64_t>(dtype_info(entry.tensor.type).block_bytes);
    if (!empty && __builtin_mul_overflow(static_cast<uint64_t>(product), width, &bytes))
      return wrong(entry.tensor.name, "its shape overflows");
    if (bytes != entry.end - entry.begin)
      return wrong(entry.tensor.name, "its shape takes {} bytes, its data_offsets {}", bytes,
                   entry.end - entry.begin);
    entry.tensor.bytes = static_cast<size_t>(bytes);
    return {};
  }

  // The data section is covered from end to end, without overlap.
  Status check_places(uint64_t data_bytes, const std::vector<Entry>& entries) const {
    std::vector<const Entry*> order;
    order.reserve(entries.size());
    for (const Entry& entry : entries) order.push_back(&entry);
    std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
      return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    uint64_t covered = 0;
    for (const Entry* entry : order) {
      if (entry->begin != covered)
        return wrong(entry->tensor.name, "data_offsets: begins at {}, expected {}: {}",
                     entry->begin, covered,
                     entry->begin < covered ? "it overlaps another tensor" : "there is a gap");
      covered = entry->end;
    }
    if (covered != data_bytes)
      return fail("{}: the tensors end at byte {} of a data section of {} bytes", name_, covered,
                  data_bytes);
    return {};
  }

  const std::string& name_;
};

// Shards lie beside their index: a plain file name, nothing that leads elsewhere.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// tensor -> shard
Result<std::map<std::string, std::string, std::less<>>> read_index(
    const std::filesystem::path& file) {
  const std::string name = file.string();
  DSPARK_TRY(const std::string text, read_file(file, kMaxIndexBytes));
  simdjson::dom::parser parser;
  DSPARK_TRY(const simdjson::dom::element root, parse_json(parser, text, name));
  simdjson::dom::object map;
  if (root["weight_map"].get(map) != simdjson::SUCCESS)
    return fail("{}: key weight_map: expected an object", name);
  std::map<std::string, std::string, std::less<>> shards;
  for (const auto [tensor, value] : map) {
    std::string_view shard;
    if (value.get(shard) != simdjson::SUCCESS)
      return fail("{}: weight_map, tensor {}: expected a file name", name, shown(tensor));
    if (!is_plain_file_name(shard))
      return fail("{}: weight_map, tensor {}: {} is not the name of a file beside the index", name,
                  shown(tensor), shown(shard));
    if (!shards.emplace(tensor, shard).second)
      return fail("{}: weight_map: tensor {} appears twice", name, shown(tensor));
  }
  if (shards.empty()) return fail("{}: weight_map is empty", name);
  return shards;
}

}  // namespace

Status Safetensors::add_shard(const uint8_t* data, size_t size, const std::string& name) {
  uint64_t header_bytes = 0;
  if (size < sizeof header_bytes)
    return fail("{}: not a safetensors file: {} bytes, at least 8 expected", name, size);
  std::memcpy(&header_bytes, data, sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes)
    return fail("{}: header of {} bytes, at most {} expected (is this a safetensors file?)", name,
                header_bytes, kMaxHeaderBytes);
  if (header_bytes > size - sizeof header_bytes)
    return fail("{}: header of {} bytes in a file of {}", name, header_bytes, size);
  const uint8_t* header = data + sizeof header_bytes;
  const uint8_t* section = header + header_bytes;
  const uint64_t data_bytes = size - sizeof header_bytes - header_bytes;
  const std::string_view text(reinterpret_cast<const char*>(header),
                              static_cast<size_t>(header_bytes));
  std::vector<Entry> entries;
  DSPARK_RETURN_IF_ERROR(HeaderReader(name).read(text, data_bytes, metadata_, entries));
  for (Entry& entry : entries) {
    entry.tensor.data = section + entry.begin;
    tensors_.push_back(std::move(entry.tensor));
  }
  return {};
}

Status Safetensors::sort_by_name() {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors_.size(); ++i)
    if (tensors_[i - 1].name == tensors_[i].name)
      return fail("{}: tensor {} appears twice", name_, shown(tensors_[i].name));
  return {};
}

Result<Safetensors> Safetensors::parse(const uint8_t* data, size_t size, const std::string& name) {
  Safetensors result;
  result.name_ = name;
  DSPARK_RETURN_IF_ERROR(result.add_shard(data, size, name));
  DSPARK_RETURN_IF_ERROR(result.sort_by_name());
  return result;
}

Result<Safetensors> Safetensors::open(const std::filesystem::path& file) {
  DSPARK_TRY(MappedFile map, MappedFile::open(file));
  DSPARK_TRY(Safetensors result, parse(map.data(), map.size(), file.string()));
  result.maps_.push_back(std::move(map));
  return result;
}

Result<Safetensors> Safetensors::open_directory(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (std::filesystem::exists(directory / kSingleFile, ignored))
    return open(directory / kSingleFile);
  const std::filesystem::path index = directory / kIndexFile;
  if (!std::filesystem::exists(index, ignored))
    return fail("{}: neither {} nor {} is there", directory.string(), kSingleFile, kIndexFile);
  DSPARK_TRY(const auto shard_of, read_index(index));
  std::map<std::string, std::vector<std::string_view>> tensors_of;
  for (const auto& [tensor, shard] : shard_of) tensors_of[shard].push_back(tensor);
  if (tensors_of.size() > kMaxShards)
    return fail("{}: {} shards, at most {} expected", index.string(), tensors_of.size(),
                kMaxShards);
  Safetensors result;
  result.name_ = directory.string();
  for (const auto& [shard, listed] : tensors_of) {
    const std::string name = (directory / shard).string();
    DSPARK_TRY(MappedFile map, MappedFile::open(directory / shard));
    const size_t first = result.tensors_.size();
    DSPARK_RETURN_IF_ERROR(result.add_shard(map.data(), map.size(), name));
    result.maps_.push_back(std::move(map));
    std::map<std::string_view, size_t> found;
    for (size_t i = first; i < result.tensors_.size(); ++i) found[result.tensors_[i].name] = i;
    for (const std::string_view tensor : listed)
      if (found.find(tensor) == found.end())
        return fail("{}: tensor {} is missing, which {} places here", name, shown(tensor),
                    kIndexFile);
  }
  DSPARK_RETURN_IF_ERROR(result.sort_by_name());
  return result;
}

const TensorView* Safetensors::find(std::string_view tensor_name) const {
  const auto found = std::lower_bound(
      tensors_.begin(), tensors_.end(), tensor_name,
      [](const TensorView& tensor, std::string_view name) { return tensor.name < name; });
  return found != tensors_.end() && found->name == tensor_name ? &*found : nullptr;
}

void Safetensors::release(const TensorView& tensor) const {
  for (const MappedFile& map : maps_) {
    if (tensor.data >= map.data() && tensor.data < map.data() + map.size())
      return map.release(static_cast<size_t>(tensor.data - map.data()), tensor.bytes);
  }
}

}  // namespace dspark::formats

#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/safetensors.h"
#include "formats/safetensors_types.h"
#include "formats/shown.h"

namespace dspark::formats {
namespace {

bool is_utf8(const std::string& text) { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace

Status write_safetensors(const std::filesystem::path& file, const std::vector<TensorView>& tensors,
                         const std::map<std::string, std::string>& metadata) {
  // Wide types first keeps every tensor aligned to its own width; names make the file reproducible.
  std::vector<const TensorView*> order;
  for (const TensorView& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
    const int width_a = dtype_info(a->type).block_bytes, width_b = dtype_info(b->type).block_bytes;
    return width_a != width_b ? width_a > width_b : a->name < b->name;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value))
      return fail("{}: metadata key {} or its value is not UTF-8", file.string(), shown(key));
    header["__metadata__"][key] = value;
  }
  uint64_t offset = 0;
  for (const TensorView* tensor : order) {
    const auto wrong = [&](std::string_view why) {
      return fail("{}: tensor {}: {}", file.string(), shown(tensor->name), why);
    };
    if (!is_utf8(tensor->name) || tensor->name == "__metadata__")
      return wrong("expected another name, in UTF-8");
    if (header.contains(tensor->name)) return wrong("given twice");
    const auto type = safetensors_from_dtype(tensor->type);
    if (!type.has_value())
      return wrong(fmt::format("safetensors has no type {}", dtype_info(tensor->type).name));
    CHECK(tensor->bytes == dtype_bytes(tensor->type, static_cast<size_t>(tensor->values())),
          "tensor {}: {} bytes", tensor->name, tensor->bytes);
    header[tensor->name] = {{"dtype", *type},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + tensor->bytes}}};
    offset += tensor->bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  DSPARK_TRY(AtomicFile out, AtomicFile::create(file));
  const uint64_t header_bytes = text.size();
  DSPARK_RETURN_IF_ERROR(out.write(&header_bytes, sizeof header_bytes));
  DSPARK_RETURN_IF_ERROR(out.write(text.data(), text.size()));
  for (const TensorView* tensor : order)
    DSPARK_RETURN_IF_ERROR(out.write(tensor->data, tensor->bytes));
  return out.commit();
}

}  // namespace dspark::formats

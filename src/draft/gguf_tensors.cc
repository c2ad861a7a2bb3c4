#include "draft/gguf_tensors.h"

#include <cstring>

namespace dspark::draft {

Result<std::vector<int32_t>> read_ids(const formats::GgufFile& file, const TensorView& tensor,
                                      DType type) {
  if (tensor.type != type || tensor.shape.size() != 1)
    return fail("{}: tensor {}: type {} of {} dimensions, expected {} of 1", file.name(),
                tensor.name, dtype_info(tensor.type).name, tensor.shape.size(),
                dtype_info(type).name);
  std::vector<int32_t> ids(static_cast<size_t>(tensor.values()));
  const size_t width = type == DType::kI64 ? sizeof(int64_t) : sizeof(int32_t);
  for (size_t i = 0; i < ids.size(); ++i) {
    int64_t id = 0;
    if (type == DType::kI64) {
      std::memcpy(&id, tensor.data + i * width, width);
    } else {
      int32_t narrow = 0;
      std::memcpy(&narrow, tensor.data + i * width, width);
      id = narrow;
    }
    ids[i] = id == static_cast<int32_t>(id) ? static_cast<int32_t>(id) : -1;
  }
  return ids;
}

Status read_rope_freqs(const formats::GgufFile& file, DrafterConfig& config) {
  const TensorView* tensor = file.find(kRopeFreqsTensor);
  if (tensor == nullptr) return {};
  const int pairs = config.decoder.kinds[0].rope.dim / 2;
  if (tensor->type != DType::kF32 || tensor->values() != pairs)
    return fail("{}: tensor {}: expected {} float values", file.name(), tensor->name, pairs);
  if (config.decoder.kinds[0].rope.scaling != model::RopeScaling::kNone)
    return fail("{}: tensor {} beside another scaling of RoPE", file.name(), tensor->name);
  std::vector<float> values(static_cast<size_t>(pairs));
  std::memcpy(values.data(), tensor->data, values.size() * sizeof(float));
  for (const float value : values)
    if (!(value > 0 && value < 1e9f))
      return fail("{}: tensor {}: value {} is not positive", file.name(), tensor->name, value);
  config.decoder.kinds[0].rope.frequency_divisors.assign(values.begin(), values.end());
  return {};
}

}  // namespace dspark::draft

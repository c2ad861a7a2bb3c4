// A drafter in memory, such as one in training, as a file of our own form.
#include "draft/drafter_write.h"
#include "draft/dspark_keys.h"
#include "draft/tensor_table.h"

namespace dspark::draft {

Status write_values(const DrafterConfig& config, const std::filesystem::path& out,
                    const std::function<const float*(const std::string& name)>& values) {
  formats::GgufWriter writer(out);
  set_dspark_keys(config, writer);
  if (!config.d2t.empty()) writer.declare(kD2tTensor, DType::kI32, {config.draft_vocab});
  std::vector<std::pair<const float*, size_t>> tensors;
  for (const TensorSlot& slot : tensor_table(config)) {
    const float* data = values(slot.name);
    CHECK(data != nullptr || slot.optional, "no values of {}", slot.name);
    if (data == nullptr) continue;
    size_t count = 1;
    for (const int64_t extent : slot.shape) count *= static_cast<size_t>(extent);
    writer.declare(slot.gguf_name, DType::kF32, slot.shape);
    tensors.emplace_back(data, count * sizeof(float));
  }
  DSPARK_RETURN_IF_ERROR(writer.begin());
  if (!config.d2t.empty())
    DSPARK_RETURN_IF_ERROR(
        writer.write_tensor(config.d2t.data(), config.d2t.size() * sizeof(int32_t)));
  for (const auto& [data, bytes] : tensors)
    DSPARK_RETURN_IF_ERROR(writer.write_tensor(data, bytes));
  return writer.finish();
}

}  // namespace dspark::draft

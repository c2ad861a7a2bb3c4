// What a drafter is, in 16 hex digits.
#include <xxhash.h>

#include "draft/config_json.h"
#include "draft/drafter_file.h"

namespace dspark::draft {

std::string fingerprint(const DrafterFile& file) {
  const DrafterConfig& config = file.config();
  const std::string json = config_to_json(config).dump();
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  const auto add = [&](const void* data, size_t bytes) {
    XXH3_64bits_update(state, &bytes, sizeof bytes);
    XXH3_64bits_update(state, data, bytes);
  };
  add(json.data(), json.size());
  add(config.d2t.data(), config.d2t.size() * sizeof(int32_t));
  for (const TensorView& tensor : file.tensors()) {
    add(tensor.name.data(), tensor.name.size());
    add(&tensor.type, sizeof tensor.type);
    add(tensor.data, tensor.bytes);
  }
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return fmt::format("{:016x}", hash);
}

}  // namespace dspark::draft

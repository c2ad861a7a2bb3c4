// Any bytes as a drafter's checkpoint: a GGUF file, or config.json, a zero byte and
// model.safetensors. An error that names the file, or a config within its bounds and tensors that
// lie inside the data.
#include <algorithm>

#include "draft/draft.h"
#include "draft/write_plan.h"

using namespace dspark;
using namespace dspark::draft;

namespace {

Result<DrafterFile> parsed(const uint8_t* data, size_t size) {
  constexpr std::string_view kGguf = "GGUF";
  if (size >= kGguf.size() && std::equal(kGguf.begin(), kGguf.end(), data))
    return DrafterFile::parse(data, size, "fuzz");
  const uint8_t* zero = std::find(data, data + size, uint8_t{0});
  const std::string_view config(reinterpret_cast<const char*>(data),
                                static_cast<size_t>(zero - data));
  const uint8_t* tensors = zero == data + size ? zero : zero + 1;
  return DrafterFile::parse(config, tensors, static_cast<size_t>(data + size - tensors), "fuzz");
}

void check_config(const DrafterConfig& c) {
  CHECK(c.slots() >= 1 && c.slots() <= 64, "{} slots", c.slots());
  CHECK(c.draft_vocab >= 1 && c.draft_vocab <= c.decoder.vocab, "{}", c.draft_vocab);
  CHECK(c.d2t.empty() || c.d2t.size() == static_cast<size_t>(c.draft_vocab), "{}", c.d2t.size());
  for (size_t i = 0; i < c.d2t.size(); ++i)
    CHECK(c.d2t[i] < c.decoder.vocab && c.d2t[i] >= (i == 0 ? 0 : c.d2t[i - 1] + 1), "{}", i);
  CHECK(!c.target_layer_ids.empty() &&
        std::is_sorted(c.target_layer_ids.begin(), c.target_layer_ids.end()));
  CHECK(c.kind == Kind::kEagle3 || (c.mask_token_id >= 0 && c.mask_token_id < c.decoder.vocab));
  CHECK((c.markov_head == MarkovHead::kNone) == (c.markov_rank == 0));
  for (const StoredCalibration& stored : c.calibrations) {
    const verify::Calibration& calibration = stored.fit.calibration;
    const auto slots = static_cast<size_t>(c.slots());
    CHECK(c.confidence_head && verify::validate(calibration).ok());
    CHECK(calibration.temperatures.size() == slots, "{}", calibration.temperatures.size());
    CHECK(calibration.offsets.empty() || calibration.offsets.size() == slots);
    CHECK((stored.fit.mode == verify::Mode::kGreedy) == (stored.fit.temperature == 0));
  }
}

// What each form would hold of it; and some rows in another type.
void check_plans(const DrafterFile& file, ThreadPool& pool) {
  for (const Layout layout : {Layout::kDspark, Layout::kDeepSpec, Layout::kLlamaCpp}) {
    WriteOptions options;
    options.layout = layout;
    if (layout == Layout::kDeepSpec) options.type = DType::kBF16;
    const auto plan = plan_write(file, options);
    if (!plan.ok()) continue;
    for (const PlannedTensor& tensor : const_cast<Result<WritePlan>&>(plan)->tensors) {
      std::vector<uint8_t> out(tensor.row_bytes());
      (void)convert_rows(file, tensor, 0, 1, pool, out.data());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ThreadPool pool(1);
  const auto result = parsed(data, size);
  if (!result.ok()) {
    CHECK(result.message().starts_with("fuzz: "), "{}", result.message());
    return 0;
  }
  const DrafterFile& file = result.value();
  check_config(file.config());
  for (const TensorView& tensor : file.tensors()) {
    CHECK(file.find(tensor.name) == &tensor, "{}", tensor.name);
    const bool inside = tensor.data >= data && tensor.data + tensor.bytes <= data + size;
    CHECK(inside || tensor.name.starts_with("confidence_head."), "{}", tensor.name);
    CHECK(tensor.bytes == dtype_bytes(tensor.type, static_cast<size_t>(tensor.values())), "{}",
          tensor.name);
    file.release(tensor);
  }
  check_plans(file, pool);
  return 0;
}

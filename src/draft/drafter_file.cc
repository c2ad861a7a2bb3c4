#include "draft/drafter_file.h"

#include <algorithm>

#include "draft/readers.h"
#include "draft/tensor_table.h"

namespace dspark::draft {

struct DrafterFile::Impl {
  DrafterConfig config;
  std::optional<formats::Safetensors> safetensors;
  std::vector<TensorView> tensors;
};

DrafterFile::DrafterFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DrafterFile::DrafterFile(DrafterFile&&) noexcept = default;
DrafterFile& DrafterFile::operator=(DrafterFile&&) noexcept = default;
DrafterFile::~DrafterFile() = default;

Result<DrafterFile> DrafterFile::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored))
    return fail("{}: expected a drafter's directory", path.string());
  DSPARK_TRY(const auto json, formats::JsonConfig::open(path / "config.json"));
  DSPARK_TRY(impl->config, config_from_deepspec(json));
  impl->config.name = path.string();
  DSPARK_TRY(auto stored, formats::Safetensors::open_directory(path));
  DSPARK_TRY(impl->tensors, match_tensors(impl->config, Naming::kDeepSpec, stored.tensors(), {}));
  impl->safetensors = std::move(stored);
  return DrafterFile(std::move(impl));
}

const DrafterConfig& DrafterFile::config() const { return impl_->config; }

const TensorView* DrafterFile::find(std::string_view name) const {
  const auto found = std::find_if(impl_->tensors.begin(), impl_->tensors.end(),
                                  [&](const TensorView& tensor) { return tensor.name == name; });
  return found == impl_->tensors.end() ? nullptr : &*found;
}

const std::vector<TensorView>& DrafterFile::tensors() const { return impl_->tensors; }

void DrafterFile::release(const TensorView& tensor) const { impl_->safetensors->release(tensor); }

}  // namespace dspark::draft

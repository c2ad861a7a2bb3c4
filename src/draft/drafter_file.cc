#include "draft/drafter_file.h"

#include <algorithm>

#include "draft/config_check.h"
#include "draft/dspark_keys.h"
#include "draft/readers.h"
#include "draft/tensor_table.h"

namespace dspark::draft {

namespace {

bool is_gguf_drafter(std::string_view architecture) {
  return architecture == kDsparkArchitecture || is_llamacpp_drafter(architecture);
}

}  // namespace

bool is_drafter(std::string_view architecture) {
  return is_gguf_drafter(architecture) || is_deepspec_drafter(architecture);
}

struct DrafterFile::Impl {
  DrafterConfig config;
  // One of them is there.
  std::optional<formats::Safetensors> safetensors;
  std::optional<formats::GgufFile> gguf;
  std::vector<TensorView> tensors;
  std::deque<std::vector<float>> owned;  // tensors that the file has in another form

  Status open_directory(const std::filesystem::path& path);
  Status read(formats::GgufFile file);
};

DrafterFile::DrafterFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DrafterFile::DrafterFile(DrafterFile&&) noexcept = default;
DrafterFile& DrafterFile::operator=(DrafterFile&&) noexcept = default;
DrafterFile::~DrafterFile() = default;

Status DrafterFile::Impl::open_directory(const std::filesystem::path& path) {
  DSPARK_TRY(const auto json, formats::JsonConfig::open(path / "config.json"));
  DSPARK_TRY(config, config_from_deepspec(json));
  config.name = path.string();
  DSPARK_RETURN_IF_ERROR(check_config(config, json.name()));
  DSPARK_TRY(safetensors, formats::Safetensors::open_directory(path));
  DSPARK_TRY(tensors, match_tensors(config, Naming::kDeepSpec, safetensors->tensors(), {}));
  return {};
}

Status DrafterFile::Impl::read(formats::GgufFile file) {
  DSPARK_TRY(const std::string architecture, file.string("general.architecture"));
  const bool ours = architecture == kDsparkArchitecture;
  if (!is_gguf_drafter(architecture))
    return fail("{}: key general.architecture: {} is no drafter, expected {}, dflash or eagle3",
                file.name(), formats::shown(architecture), kDsparkArchitecture);
  DSPARK_TRY(config, ours ? config_from_dspark(file) : config_from_llamacpp(file));
  config.name = file.name();
  DSPARK_RETURN_IF_ERROR(check_config(config, file.name()));
  const auto stored = ours ? file.tensors() : llamacpp_tensors(file, owned);
  DSPARK_TRY(tensors, match_tensors(config, Naming::kGguf, stored, {kD2tTensor, kRopeFreqsTensor}));
  gguf = std::move(file);
  return {};
}

Result<DrafterFile> DrafterFile::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    DSPARK_RETURN_IF_ERROR(impl->open_directory(path));
  } else {
    DSPARK_TRY(auto file, formats::GgufFile::open(path));
    DSPARK_RETURN_IF_ERROR(impl->read(std::move(file)));
  }
  return DrafterFile(std::move(impl));
}

const DrafterConfig& DrafterFile::config() const { return impl_->config; }

const TensorView* DrafterFile::find(std::string_view name) const {
  const auto found = std::find_if(impl_->tensors.begin(), impl_->tensors.end(),
                                  [&](const TensorView& tensor) { return tensor.name == name; });
  return found == impl_->tensors.end() ? nullptr : &*found;
}

const std::vector<TensorView>& DrafterFile::tensors() const { return impl_->tensors; }

void DrafterFile::release(const TensorView& tensor) const {
  for (const std::vector<float>& values : impl_->owned)
    if (tensor.data == reinterpret_cast<const uint8_t*>(values.data())) return;
  if (impl_->gguf)
    impl_->gguf->release(tensor);
  else
    impl_->safetensors->release(tensor);
}

}  // namespace dspark::draft

#include "draft/drafter_file.h"

#include <algorithm>

#include "draft/calibration_keys.h"
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
  bool own_form = false;
  // One of them is there.
  std::optional<formats::Safetensors> safetensors;
  std::optional<formats::GgufFile> gguf;
  std::vector<TensorView> tensors;
  std::deque<std::vector<float>> owned;  // tensors that the file has in another form

  // stored: gives the tensors, once the config is known to be good.
  template <class Stored>
  Status read(const formats::JsonConfig& json, const std::string& name, Stored stored);
  Status read(formats::GgufFile file);
};

DrafterFile::DrafterFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DrafterFile::DrafterFile(DrafterFile&&) noexcept = default;
DrafterFile& DrafterFile::operator=(DrafterFile&&) noexcept = default;
DrafterFile::~DrafterFile() = default;

template <class Stored>
Status DrafterFile::Impl::read(const formats::JsonConfig& json, const std::string& name,
                               Stored stored) {
  DSPARK_TRY(config, config_from_deepspec(json));
  config.name = name;
  DSPARK_RETURN_IF_ERROR(check_config(config, json.name()));
  DSPARK_TRY(safetensors, stored());
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
  own_form = ours;
  if (ours) {
    DSPARK_TRY(config.calibrations, read_calibrations(file, config));
  }
  const auto stored = ours ? file.tensors() : llamacpp_tensors(file, owned);
  DSPARK_TRY(tensors, match_tensors(config, Naming::kGguf, stored, {kD2tTensor, kRopeFreqsTensor}));
  gguf = std::move(file);
  return {};
}

Result<DrafterFile> DrafterFile::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    DSPARK_TRY(const auto json, formats::JsonConfig::open(path / "config.json"));
    DSPARK_RETURN_IF_ERROR(impl->read(json, path.string(),
                                      [&] { return formats::Safetensors::open_directory(path); }));
  } else {
    DSPARK_TRY(auto file, formats::GgufFile::open(path));
    DSPARK_RETURN_IF_ERROR(impl->read(std::move(file)));
  }
  return DrafterFile(std::move(impl));
}

Result<DrafterFile> DrafterFile::parse(const uint8_t* data, size_t size, const std::string& name) {
  auto impl = std::make_unique<Impl>();
  DSPARK_TRY(auto file, formats::GgufFile::parse(data, size, name));
  DSPARK_RETURN_IF_ERROR(impl->read(std::move(file)));
  return DrafterFile(std::move(impl));
}

Result<DrafterFile> DrafterFile::parse(std::string_view config, const uint8_t* tensors, size_t size,
                                       const std::string& name) {
  auto impl = std::make_unique<Impl>();
  DSPARK_TRY(const auto json, formats::JsonConfig::parse(config, name));
  DSPARK_RETURN_IF_ERROR(
      impl->read(json, name, [&] { return formats::Safetensors::parse(tensors, size, name); }));
  return DrafterFile(std::move(impl));
}

const DrafterConfig& DrafterFile::config() const { return impl_->config; }

bool DrafterFile::is_own_form() const { return impl_->own_form; }

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

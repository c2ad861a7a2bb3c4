#include "train/parameters.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

namespace dspark::train {
namespace {

constexpr double kInitialSpread = 0.02;  // transformers' initializer_range, spec D.4

bool is_table(const std::string& name) {
  return name == "embed_tokens.weight" || name == "lm_head.weight";
}
bool is_trained(const std::string& name) { return !name.ends_with("layer_scalar"); }

torch::Tensor initial(const draft::TensorSlot& slot, at::Generator generator) {
  if (slot.name.ends_with(".bias")) return torch::zeros(slot.shape);
  if (slot.shape.size() == 1) return torch::ones(slot.shape);
  return torch::empty(slot.shape).normal_(0, kInitialSpread, generator);
}

torch::Tensor embedding_of(const model::Spec& spec, const TensorView& view) {
  return to_tensor(view) * model::embedding_scale(spec, view.type);
}

}  // namespace

torch::Tensor to_tensor(const TensorView& view) {
  torch::Tensor out = torch::empty(view.shape);
  dequantise(view.type, view.data, out.data_ptr<float>(), static_cast<size_t>(out.numel()));
  return out;
}

Parameters Parameters::fresh(const draft::DrafterConfig& config, uint64_t seed) {
  Parameters parameters;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  for (const draft::TensorSlot& slot : draft::tensor_table(config))
    if (!is_table(slot.name)) parameters.add(slot.name, initial(slot, generator));
  parameters.set_trained();
  return parameters;
}

Result<Parameters> Parameters::of(const draft::DrafterFile& file) {
  Parameters parameters;
  for (const TensorView& view : file.tensors()) {
    if (is_table(view.name)) continue;
    torch::Tensor values = to_tensor(view);
    if (!values.isfinite().all().item<bool>())
      return fail("{}: tensor {}: a value is not finite", file.config().name, view.name);
    parameters.add(view.name, std::move(values));
  }
  parameters.set_trained();
  return parameters;
}

const torch::Tensor& Parameters::operator[](const std::string& name) const {
  const auto found = tensors_.find(name);
  CHECK(found != tensors_.end(), "no tensor {}", name);
  return found->second;
}

std::vector<torch::Tensor> Parameters::trained() const {
  std::vector<torch::Tensor> list;
  for (const std::string& name : names_) list.push_back((*this)[name]);
  return list;
}

int64_t Parameters::trained_values() const {
  int64_t sum = 0;
  for (const torch::Tensor& tensor : trained()) sum += tensor.numel();
  return sum;
}

Parameters Parameters::sharing_values() const {
  Parameters copy = *this;
  for (auto& [name, tensor] : copy.tensors_) tensor = tensor.detach();
  copy.set_trained();
  return copy;
}

void Parameters::set(const std::string& name, const torch::Tensor& values) {
  const torch::NoGradGuard guard;
  torch::Tensor tensor = (*this)[name];
  CHECK(tensor.sizes() == values.sizes(), "shape of {}", name);
  tensor.copy_(values);
}

void Parameters::set_trained() {
  for (const std::string& name : names_) tensors_.at(name).set_requires_grad(true);
}

void Parameters::add(const std::string& name, torch::Tensor values) {
  if (is_trained(name)) names_.push_back(name);
  tensors_.emplace(name, std::move(values));
}

Result<FrozenTables> frozen_tables(const draft::DrafterFile& file) {
  const TensorView* embedding = file.find("embed_tokens.weight");
  const TensorView* head = file.find("lm_head.weight");
  if (embedding == nullptr || head == nullptr)
    return fail("{}: embedding and head are not stored", file.config().name);
  return FrozenTables{embedding_of(file.config().decoder, *embedding), to_tensor(*head)};
}

Result<FrozenTables> frozen_tables(const draft::DrafterConfig& config,
                                   const std::filesystem::path& target) {
  DSPARK_TRY(model::WeightFile file, model::WeightFile::open(target));
  const std::vector<int64_t> shape = {config.decoder.vocab, config.decoder.hidden};
  DSPARK_TRY(const TensorView* embedding, file.find(model::Part::kEmbedding, 0, shape));
  const model::Part part = file.spec().tied_head ? model::Part::kEmbedding : model::Part::kHead;
  DSPARK_TRY(const TensorView* head, file.find(part, 0, shape));
  FrozenTables tables{embedding_of(config.decoder, *embedding), to_tensor(*head)};
  if (!config.d2t.empty()) {
    const torch::Tensor rows = torch::tensor(config.d2t, torch::kInt32).to(torch::kLong);
    tables.head = tables.head.index_select(0, rows);
  }
  return tables;
}

}  // namespace dspark::train

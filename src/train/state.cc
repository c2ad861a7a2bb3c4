#include "train/state.h"

#include <torch/torch.h>

#include <cstdlib>

#include "learn/learn.h"

namespace dspark::train {
namespace {

constexpr const char* kMoments[] = {"first_moment.", "second_moment."};

std::string key_of(const torch::Tensor& tensor) {
  return c10::guts::to_string(tensor.unsafeGetTensorImpl());
}

torch::optim::AdamWParamState& moments(torch::optim::AdamW& optimiser, const torch::Tensor& t) {
  auto& state = optimiser.state()[key_of(t)];
  if (!state) {
    auto made = std::make_unique<torch::optim::AdamWParamState>();
    made->step(0);
    made->exp_avg(torch::zeros_like(t, at::MemoryFormat::Preserve).detach());
    made->exp_avg_sq(torch::zeros_like(t, at::MemoryFormat::Preserve).detach());
    state = std::move(made);
  }
  return static_cast<torch::optim::AdamWParamState&>(*state);
}

struct Named {
  std::string name;
  torch::Tensor tensor;
};

std::vector<Named> all_tensors(const Parameters& parameters, torch::optim::AdamW& optimiser) {
  std::vector<Named> list;
  for (const std::string& name : parameters.names()) {
    auto& state = moments(optimiser, parameters[name]);
    list.push_back({name, parameters[name].detach()});
    list.push_back({kMoments[0] + name, state.exp_avg()});
    list.push_back({kMoments[1] + name, state.exp_avg_sq()});
  }
  return list;
}

std::string checksum(const std::vector<Named>& tensors) {
  learn::Digest digest;
  for (const Named& t : tensors)
    digest.add({static_cast<const char*>(t.tensor.data_ptr()), t.tensor.nbytes()});
  return digest.text();
}

}  // namespace

Status save_state(const std::filesystem::path& file, const Parameters& parameters,
                  torch::optim::AdamW& optimiser, const Progress& progress, const StateKey& key) {
  const std::vector<Named> tensors = all_tensors(parameters, optimiser);
  std::vector<TensorView> views;
  for (const Named& t : tensors) {
    CHECK(t.tensor.is_contiguous(), "{} is not contiguous", t.name);
    views.push_back({.name = t.name,
                     .type = DType::kF32,
                     .shape = t.tensor.sizes().vec(),
                     .data = static_cast<const uint8_t*>(t.tensor.data_ptr()),
                     .bytes = t.tensor.nbytes()});
  }
  return formats::write_safetensors(file, views,
                                    {{"steps", fmt::format("{}", progress.steps)},
                                     {"seconds", fmt::format("{}", progress.seconds)},
                                     {"positions", fmt::format("{}", progress.positions)},
                                     {"recipe", key.recipe},
                                     {"corpus", key.corpus},
                                     {"machine", key.machine},
                                     {"checksum", checksum(tensors)}});
}

Result<bool> load_state(const std::filesystem::path& file, Parameters& parameters,
                        torch::optim::AdamW& optimiser, Progress& progress, const StateKey& key,
                        std::string* note) {
  if (!std::filesystem::exists(file)) return false;
  DSPARK_TRY(const formats::Safetensors stored, formats::Safetensors::open(file));
  const auto value = [&](const char* name) {
    const auto found = stored.metadata().find(name);
    return found == stored.metadata().end() ? std::string() : found->second;
  };
  if (value("recipe") != key.recipe)
    return fail(
        "{}: the run was begun with another recipe; give it another folder, or go on with "
        "the recipe.toml beside it",
        file.string());
  if (value("corpus") != key.corpus)
    return fail("{}: the run was begun with another corpus", file.string());
  if (value("machine") != key.machine)
    *note =
        fmt::format("begun on another machine ({}; here {}): it goes on, but not to the same bits",
                    value("machine"), key.machine);
  const std::vector<Named> tensors = all_tensors(parameters, optimiser);
  const torch::NoGradGuard guard;
  for (const Named& t : tensors) {
    const TensorView* view = stored.find(t.name);
    if (view == nullptr || view->type != DType::kF32 || view->shape != t.tensor.sizes().vec())
      return fail("{}: tensor {} is missing, or of another shape", file.string(), t.name);
    t.tensor.copy_(to_tensor(*view));
  }
  if (checksum(tensors) != value("checksum"))
    return fail("{}: the checksum is wrong: the file is damaged", file.string());
  progress.steps = std::strtoll(value("steps").c_str(), nullptr, 10);
  progress.seconds = std::strtod(value("seconds").c_str(), nullptr);
  progress.positions = std::strtod(value("positions").c_str(), nullptr);
  for (const std::string& name : parameters.names())
    moments(optimiser, parameters[name]).step(progress.steps);
  return true;
}

}  // namespace dspark::train

#include "train/start.h"

#include <torch/torch.h>

#include <unordered_map>

namespace dspark::train {
namespace {

using draft::DrafterConfig;

// Norms over queries and keys, where the target has none: their weights are the size that its
// queries and keys have for rows that are the same in all directions.
void scale_qk_norms(int layer, Parameters& parameters) {
  const auto name = [&](const char* what) {
    return fmt::format("layers.{}.{}.weight", layer, what);
  };
  const torch::Tensor norm = parameters[name("input_layernorm")].detach();
  for (const auto& [matrix, scale] : {std::pair("self_attn.q_proj", "self_attn.q_norm"),
                                      std::pair("self_attn.k_proj", "self_attn.k_norm")}) {
    const torch::Tensor rows = parameters[name(matrix)].detach() * norm;
    const torch::Tensor size = rows.square().sum(1).mean().sqrt();
    parameters.set(name(scale), size.expand(parameters[name(scale)].sizes()));
  }
}

// The target's layer in the places of a draft layer's tensors.
Status copy_layer(model::WeightFile& target, int from, int to, const DrafterConfig& config,
                  Parameters& parameters) {
  constexpr std::pair<model::Part, const char*> kParts[] = {
      {model::Part::kQ, "self_attn.q_proj"},
      {model::Part::kK, "self_attn.k_proj"},
      {model::Part::kV, "self_attn.v_proj"},
      {model::Part::kO, "self_attn.o_proj"},
      {model::Part::kGate, "mlp.gate_proj"},
      {model::Part::kUp, "mlp.up_proj"},
      {model::Part::kDown, "mlp.down_proj"},
      {model::Part::kAttentionNorm, "input_layernorm"},
      {model::Part::kFfnNorm, "post_attention_layernorm"}};
  for (const auto& [part, what] : kParts) {
    const std::string name = fmt::format("layers.{}.{}.weight", to, what);
    const std::vector<int64_t> shape = parameters[name].sizes().vec();
    DSPARK_TRY(const TensorView* view, target.find(part, from, shape));
    if (view == nullptr) return fail("{}: layer {} lacks {}", target.name(), from, what);
    torch::Tensor values = to_tensor(*view);
    const bool rotated = part == model::Part::kQ || part == model::Part::kK;
    if (rotated && target.spec().interleaved_rope) {  // pairs (2i, 2i + 1) to (i, i + d / 2)
      const int64_t d = config.decoder.kinds[0].head_dim;
      values = values.view({-1, d / 2, 2, shape[1]}).transpose(1, 2).reshape(shape);
    }
    parameters.set(name, values);
  }
  if (config.decoder.qk_norm && !target.spec().qk_norm) scale_qk_norms(to, parameters);
  return {};
}

Status copy_vector(model::WeightFile& target, model::Part part, int layer, const char* name,
                   Parameters& parameters) {
  DSPARK_TRY(const TensorView* view, target.find(part, layer, parameters[name].sizes().vec()));
  if (view == nullptr) return fail("{}: no tensor for {}", target.name(), name);
  parameters.set(name, to_tensor(*view));
  return {};
}

// The first draft layer's context is what the target's layer sees there: the nearest tap below it
// alone, under that layer's norm.
Status start_context(model::WeightFile& target, int64_t from, const DrafterConfig& config,
                     Parameters& parameters) {
  int64_t nearest = 0;
  for (int64_t i = 0; i < config.taps(); ++i)
    if (config.target_layer_ids[static_cast<size_t>(i)] < from) nearest = i;
  const int64_t hidden = config.decoder.hidden;
  torch::Tensor fc = torch::zeros({hidden, config.taps() * hidden});
  fc.slice(1, nearest * hidden, (nearest + 1) * hidden).fill_diagonal_(1);
  parameters.set("fc.weight", fc);
  return copy_vector(target, model::Part::kAttentionNorm, static_cast<int>(from),
                     "hidden_norm.weight", parameters);
}

Status copy_target_layers(const Recipe& recipe, const DrafterConfig& config,
                          const std::filesystem::path& path, Parameters& parameters) {
  DSPARK_TRY(model::WeightFile target, model::WeightFile::open(path));
  const int layers = config.decoder.layers, all = target.spec().layers;
  for (int l = 0; l < layers; ++l) {
    const int64_t from = recipe.start_layers.empty() ? all - layers + l
                         : static_cast<size_t>(l) < recipe.start_layers.size()
                             ? recipe.start_layers[static_cast<size_t>(l)]
                             : -1;
    if (from < 0 || from >= all)
      return fail("drafter.start_layers: expected {} layers of 0 to {}", layers, all - 1);
    DSPARK_RETURN_IF_ERROR(copy_layer(target, static_cast<int>(from), l, config, parameters));
    if (l == 0 && config.kind == draft::Kind::kBlock)
      DSPARK_RETURN_IF_ERROR(start_context(target, from, config, parameters));
  }
  return copy_vector(target, model::Part::kOutputNorm, 0, "norm.weight", parameters);
}

// Rows of one draft vocabulary in the order of another: by the tokens that they stand for, 0 for
// tokens without one.
torch::Tensor reorder(const torch::Tensor& rows, const DrafterConfig& from,
                      const DrafterConfig& to) {
  const auto token = [](const DrafterConfig& config, int64_t row) {
    return config.d2t.empty() ? row : int64_t{config.d2t[static_cast<size_t>(row)]};
  };
  std::unordered_map<int64_t, int64_t> row_of;
  for (int64_t r = 0; r < rows.size(0); ++r) row_of[token(from, r)] = r;
  torch::Tensor out = torch::zeros({to.draft_vocab, rows.size(1)});
  for (int64_t r = 0; r < to.draft_vocab; ++r)
    if (const auto at = row_of.find(token(to, r)); at != row_of.end()) out[r] = rows[at->second];
  return out;
}

// Layers behind those of a file begin as the target's last ones with nothing to add: the drafter
// says at first what the file's says.
Status add_layers(int stored, const DrafterConfig& config, const std::filesystem::path& path,
                  Parameters& parameters) {
  DSPARK_TRY(model::WeightFile target, model::WeightFile::open(path));
  const int layers = config.decoder.layers, all = target.spec().layers;
  for (int l = stored; l < layers; ++l) {
    const int from = std::max(0, all - layers + l);
    DSPARK_RETURN_IF_ERROR(copy_layer(target, from, l, config, parameters));
    for (const char* what : {"self_attn.o_proj", "mlp.down_proj"}) {
      const std::string name = fmt::format("layers.{}.{}.weight", l, what);
      parameters.set(name, torch::zeros_like(parameters[name]));
    }
  }
  return {};
}

Status copy_drafter(const std::string& path, const DrafterConfig& config,
                    const std::filesystem::path& target, Parameters& parameters) {
  DSPARK_TRY(const draft::DrafterFile file, draft::DrafterFile::open(path));
  DSPARK_TRY(const Parameters stored, Parameters::of(file));
  size_t taken = 0;
  for (const std::string& name : parameters.names()) {
    if (!stored.has(name)) continue;
    torch::Tensor values = stored[name].detach();
    if (name == "markov_head.markov_w2.weight") values = reorder(values, file.config(), config);
    if (values.sizes() == parameters[name].sizes()) parameters.set(name, values), ++taken;
  }
  if (taken == 0) return fail("drafter.start: {} has no tensor of this drafter's shapes", path);
  if (config.kind != draft::Kind::kBlock) return {};
  return add_layers(file.config().decoder.layers, config, target, parameters);
}

}  // namespace

Result<Parameters> starting_parameters(const Recipe& recipe, const DrafterConfig& config,
                                       const std::filesystem::path& target) {
  Parameters parameters = Parameters::fresh(config, static_cast<uint64_t>(recipe.seed));
  if (recipe.start == "target")
    DSPARK_RETURN_IF_ERROR(copy_target_layers(recipe, config, target, parameters));
  else if (recipe.start != "fresh")
    DSPARK_RETURN_IF_ERROR(copy_drafter(recipe.start, config, target, parameters));
  return parameters;
}

}  // namespace dspark::train

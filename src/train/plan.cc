#include "train/plan.h"

#include <torch/torch.h>

namespace dspark::train {
namespace {

using draft::DrafterConfig;
using model::Part;

Result<int32_t> mask_token(const Recipe& recipe, const tokenizer::Tokenizer& tokenizer,
                           const learn::TokenCounts& counts) {
  const std::string& text = recipe.mask_token;
  const bool is_id = text.find_first_not_of("0123456789") == std::string::npos && text.size() < 9;
  const std::vector<int32_t> ids =
      is_id ? std::vector<int32_t>{std::atoi(text.c_str())}
            : tokenizer.encode(text, tokenizer::Tokenizer::Specials::kParse);
  if (ids.size() != 1 || ids[0] >= counts.vocab())
    return fail("drafter.mask_token: \"{}\" is not one token of the target", text);
  if (const int64_t n = counts.counts()[static_cast<size_t>(ids[0])]; n > 0)
    return fail("drafter.mask_token: \"{}\" comes {} times in the corpus; expected a token that no "
                "data has", text, n);
  return ids[0];
}

draft::MarkovHead head_of(const std::string& name) {
  return name == "gated" ? draft::MarkovHead::kGated
         : name == "rnn" ? draft::MarkovHead::kRnn
                         : draft::MarkovHead::kVanilla;
}

// The target's layer in the places of a draft layer's tensors. Norms over queries and keys, which
// it may lack, stay as they are.
Status copy_layer(model::WeightFile& target, int from, int to, const DrafterConfig& config,
                  Parameters& parameters) {
  constexpr std::pair<Part, const char*> kParts[] = {
      {Part::kQ, "self_attn.q_proj"},   {Part::kK, "self_attn.k_proj"},
      {Part::kV, "self_attn.v_proj"},   {Part::kO, "self_attn.o_proj"},
      {Part::kGate, "mlp.gate_proj"},   {Part::kUp, "mlp.up_proj"},
      {Part::kDown, "mlp.down_proj"},   {Part::kAttentionNorm, "input_layernorm"},
      {Part::kFfnNorm, "post_attention_layernorm"}};
  for (const auto& [part, what] : kParts) {
    const std::string name = fmt::format("layers.{}.{}.weight", to, what);
    const std::vector<int64_t> shape = parameters[name].sizes().vec();
    DSPARK_TRY(const TensorView* view, target.find(part, from, shape));
    if (view == nullptr) return fail("{}: layer {} lacks {}", target.name(), from, what);
    torch::Tensor values = to_tensor(*view);
    const bool rotated = part == Part::kQ || part == Part::kK;
    if (rotated && target.spec().interleaved_rope) {  // pairs (2i, 2i + 1) to (i, i + d / 2)
      const int64_t d = config.decoder.kinds[0].head_dim;
      values = values.view({-1, d / 2, 2, shape[1]}).transpose(1, 2).reshape(shape);
    }
    parameters.set(name, values);
  }
  return {};
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
    DSPARK_RETURN_IF_ERROR(
        copy_layer(target, static_cast<int>(from), l, config, parameters));
  }
  return {};
}

Status copy_drafter(const std::string& path, Parameters& parameters) {
  DSPARK_TRY(const draft::DrafterFile file, draft::DrafterFile::open(path));
  DSPARK_TRY(const Parameters stored, Parameters::of(file));
  size_t taken = 0;
  for (const std::string& name : parameters.names())
    if (stored.has(name) && stored[name].sizes() == parameters[name].sizes())
      parameters.set(name, stored[name].detach()), ++taken;
  if (taken == 0) return fail("drafter.start: {} has no tensor of this drafter's shapes", path);
  return {};
}

}  // namespace

Result<DrafterConfig> plan_drafter(const Recipe& recipe, const std::filesystem::path& path,
                                   const tokenizer::Tokenizer& tokenizer,
                                   const learn::TokenCounts& counts) {
  DSPARK_TRY(const auto file, model::WeightFile::open(path));
  const model::Spec& target = file.spec();
  const bool chain = recipe.kind == "eagle3";
  DrafterConfig c;
  c.name = "the recipe's drafter";
  c.kind = chain ? draft::Kind::kEagle3 : draft::Kind::kBlock;
  c.decoder = draft::draft_layers(target, static_cast<int>(recipe.layers), recipe.ffn);
  c.decoder.pairs_embedding = chain;
  c.tokenizer_fingerprint = tokenizer.fingerprint();
  c.target_layers = target.layers;
  c.target_layer_ids = recipe.taps.empty() ? draft::usual_taps(target.layers)
                                           : std::vector<int>(recipe.taps.begin(), recipe.taps.end());
  if (chain) {
    c.ttt_length = static_cast<int>(recipe.block);
  } else {
    c.block_size = static_cast<int>(recipe.block);
    DSPARK_TRY(c.mask_token_id, mask_token(recipe, tokenizer, counts));
  }
  if (recipe.kind == "dspark") {
    c.markov_head = head_of(recipe.markov);
    c.markov_rank = static_cast<int>(recipe.rank);
    c.confidence_head = c.confidence_with_markov = recipe.confidence;
    c.candidates = static_cast<int>(recipe.candidates);
  }
  c.draft_vocab = target.vocab;
  if (recipe.draft_vocab > 0 && recipe.draft_vocab < target.vocab) {
    c.draft_vocab = static_cast<int>(recipe.draft_vocab);
    c.d2t = learn::draft_vocabulary(counts, c.draft_vocab);
  }
  DSPARK_RETURN_IF_ERROR(draft::check_fits(c, target, c.tokenizer_fingerprint));
  return c;
}

Result<Parameters> starting_parameters(const Recipe& recipe, const DrafterConfig& config,
                                       const std::filesystem::path& target) {
  Parameters parameters = Parameters::fresh(config, static_cast<uint64_t>(recipe.seed));
  if (recipe.start == "target")
    DSPARK_RETURN_IF_ERROR(copy_target_layers(recipe, config, target, parameters));
  else if (recipe.start != "fresh")
    DSPARK_RETURN_IF_ERROR(copy_drafter(recipe.start, parameters));
  return parameters;
}

}  // namespace dspark::train

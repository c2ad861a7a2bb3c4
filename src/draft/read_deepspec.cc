// DeepSpec's config.json (spec A.2): the target's text config with the drafter's keys added.
#include "draft/config_check.h"
#include "draft/readers.h"

namespace dspark::draft {
namespace {

struct Architecture {
  const char* name;
  Kind kind;
  bool gemma4 = false;  // else Qwen3's layers
};
constexpr Architecture kArchitectures[] = {
    {"Qwen3DSparkModel", Kind::kBlock},  {"Gemma4DSparkModel", Kind::kBlock, true},
    {"Qwen3Eagle3Model", Kind::kEagle3}, {"Gemma4Eagle3Model", Kind::kEagle3, true},
    {"Eagle3DraftModel", Kind::kEagle3},
};

Result<const Architecture*> read_architecture(const formats::JsonConfig& config) {
  const auto list = config.json().find("architectures");
  if (list == config.json().end() || !list->is_array() || list->size() != 1 ||
      !list->front().is_string())
    return fail("{}: key architectures: expected one name in an array", config.name());
  const auto& name = list->front().get_ref<const std::string&>();
  std::vector<std::string_view> known;
  for (const Architecture& architecture : kArchitectures) {
    if (name == architecture.name) return &architecture;
    known.emplace_back(architecture.name);
  }
  return fail("{}: key architectures: {} is no drafter, expected one of {}", config.name(),
              formats::shown(name), fmt::join(known, ", "));
}

// The draft layers as a decoder: Gemma 4's, else Qwen3's, whatever family the target is of; the
// latter rotate whole heads, also where the target does not.
Result<model::Spec> read_decoder(const formats::JsonConfig& config, const Architecture& of) {
  nlohmann::json json = config.json();
  if (of.gemma4) {
    // What every drafter has alike may be left out.
    DSPARK_TRY(const int64_t layers, config.integer("num_hidden_layers"));
    if (!config.has("layer_types") && layers > 0 && layers <= kMaxLayers)
      json["layer_types"] = std::vector<std::string>(static_cast<size_t>(layers), "full_attention");
    if (!config.has("hidden_size_per_layer_input")) json["hidden_size_per_layer_input"] = 0;
    if (!config.has("tie_word_embeddings")) json["tie_word_embeddings"] = false;
  } else {
    json["model_type"] = "qwen3";
    json.erase("partial_rotary_factor");
  }
  DSPARK_TRY(const auto decoder, formats::JsonConfig::parse(json.dump(), config.name()));
  DSPARK_TRY(model::Spec spec, model::draft_spec_from_config(decoder));
  if (of.gemma4 != (spec.family == model::Family::kGemma4))
    return fail("{}: key model_type: {}, expected gemma4_text for {}", config.name(),
                formats::shown(spec.architecture), of.name);
  spec.architecture = of.name;
  spec.pairs_embedding = of.kind == Kind::kEagle3;
  DSPARK_TRY(spec.qk_norm, config.boolean("qk_norm", true));
  if (spec.tied_head)
    return fail("{}: key tie_word_embeddings: expected false for a drafter", config.name());
  return spec;
}

Status read_markov(const formats::JsonConfig& config, DrafterConfig& out) {
  DSPARK_TRY(const int64_t rank, config.integer("markov_rank"));
  out.markov_rank = narrowed(rank);
  if (rank == 0) return {};
  DSPARK_TRY(const std::string head, config.string("markov_head_type"));
  if (head == "vanilla")
    out.markov_head = MarkovHead::kVanilla;
  else if (head == "gated")
    out.markov_head = MarkovHead::kGated;
  else if (head == "rnn")
    out.markov_head = MarkovHead::kRnn;
  else
    return fail("{}: key markov_head_type: {}, expected vanilla, gated or rnn", config.name(),
                formats::shown(head));
  return {};
}

Status read_block(const formats::JsonConfig& config, DrafterConfig& out) {
  DSPARK_TRY(const int64_t block, config.integer("block_size"));
  out.block_size = narrowed(block);
  DSPARK_TRY(const int64_t mask, config.integer("mask_token_id"));
  out.mask_token_id = narrowed(mask);
  DSPARK_TRY(out.anchor_predicts, config.boolean("sample_from_anchor", true));
  DSPARK_RETURN_IF_ERROR(read_markov(config, out));
  DSPARK_TRY(out.confidence_head, config.boolean("enable_confidence_head", false));
  if (!out.confidence_head) return {};
  DSPARK_TRY(out.confidence_with_markov, config.boolean("confidence_head_with_markov", false));
  return {};
}

}  // namespace

bool is_deepspec_drafter(std::string_view architecture) {
  for (const Architecture& known : kArchitectures)
    if (architecture == known.name) return true;
  return false;
}

Result<DrafterConfig> config_from_json(const formats::JsonConfig& config) {
  DSPARK_TRY(const Architecture* architecture, read_architecture(config));
  DrafterConfig out;
  out.kind = architecture->kind;
  DSPARK_TRY(out.decoder, read_decoder(config, *architecture));
  DSPARK_TRY(const int64_t layers, config.integer("num_target_layers", 0));
  out.target_layers = narrowed(layers);
  DSPARK_TRY(const std::vector<int64_t> taps, config.integers("target_layer_ids"));
  for (const int64_t tap : taps) out.target_layer_ids.push_back(narrowed(tap));
  // Keys that are ours: DeepSpec reads past them.
  DSPARK_TRY(out.tokenizer_fingerprint, config.string("tokenizer_fingerprint", std::string()));
  DSPARK_TRY(const int64_t candidates, config.integer("markov_candidates", 0));
  out.candidates = narrowed(candidates);
  out.draft_vocab = out.decoder.vocab;
  if (out.kind == Kind::kBlock) {
    DSPARK_RETURN_IF_ERROR(read_block(config, out));
  } else {
    DSPARK_TRY(const int64_t length, config.integer("ttt_length"));
    out.ttt_length = narrowed(length);
  }
  return out;
}

Result<DrafterConfig> config_from_deepspec(const formats::JsonConfig& config) {
  DSPARK_TRY(DrafterConfig out, config_from_json(config));
  if (out.target_layers < 1)
    return fail("{}: key num_target_layers is missing, or below 1", config.name());
  if (out.kind == Kind::kEagle3 && out.taps() != 5)
    return fail("{}: key target_layer_ids: {} layers, expected 5 for Eagle3", config.name(),
                out.taps());
  for (const char* key : {"draft_vocab_size", "quantization_config"})
    if (config.has(key)) return fail("{}: key {}: not part of DeepSpec's form", config.name(), key);
  return out;
}

}  // namespace dspark::draft

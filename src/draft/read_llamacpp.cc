// llama.cpp's drafters: architectures dflash (DSpark where it has a Markov head) and eagle3. Their
// keys become DeepSpec's, so that there is one reader of what those mean.
#include "draft/config_check.h"
#include "draft/gguf_tensors.h"
#include "draft/readers.h"

namespace dspark::draft {
namespace {

using formats::GgufFile;

constexpr const char* kConfidence = "conf_proj.weight";
constexpr const char* kConfidenceBias = "conf_proj.bias";

// Features of its files that the draft layers here do not have; each key with the value that stands
// for their absence.
Status refuse_features(const GgufFile& file, const std::string& prefix) {
  for (const char* key : {"attention.causal", "norm_before_residual", "norm_before_fc"}) {
    DSPARK_TRY(const bool set, file.boolean(prefix + key, false));
    if (set) return fail("{}: key {}{}: true is not supported", file.name(), prefix, key);
  }
  for (const char* key : {"attention.sliding_window", "expert_count", "final_logit_softcapping",
                          "hyper_connection_count", "selector_rank"}) {
    DSPARK_TRY(const double value, file.number(prefix + key, 0.0));
    if (value != 0)
      return fail("{}: key {}{}: {} is not supported, expected 0", file.name(), prefix, key, value);
  }
  DSPARK_TRY(const double scale, file.number(prefix + "logit_scale", 1.0));
  if (scale != 1 && scale != 0)
    return fail("{}: key {}logit_scale: {} is not supported, expected 1", file.name(), prefix,
                scale);
  return {};
}

Result<nlohmann::json> read_rope(const GgufFile& file, const std::string& prefix,
                                 int64_t head_dim) {
  DSPARK_TRY(const int64_t rotated, file.integer(prefix + "rope.dimension_count", head_dim));
  if (rotated != head_dim)
    return fail("{}: key {}rope.dimension_count: {}, expected whole heads of {}", file.name(),
                prefix, rotated, head_dim);
  nlohmann::json rope;
  DSPARK_TRY(rope["rope_theta"], file.number(prefix + "rope.freq_base", 10000.0));
  DSPARK_TRY(const std::string type, file.string(prefix + "rope.scaling.type", "none"));
  rope["rope_type"] = type == "none" ? "default" : type;
  if (type == "none") return rope;
  if (type != "linear" && type != "yarn")
    return fail("{}: key {}rope.scaling.type: {}, expected none, linear or yarn", file.name(),
                prefix, formats::shown(type));
  DSPARK_TRY(const double factor, file.number(prefix + "rope.scaling.factor"));
  rope["factor"] = factor;
  if (type == "linear") return rope;
  DSPARK_TRY(rope["original_max_position_embeddings"],
             file.number(prefix + "rope.scaling.original_context_length"));
  DSPARK_TRY(rope["beta_fast"], file.number(prefix + "rope.scaling.yarn_beta_fast", 32.0));
  DSPARK_TRY(rope["beta_slow"], file.number(prefix + "rope.scaling.yarn_beta_slow", 1.0));
  DSPARK_TRY(const double attention, file.number(prefix + "rope.scaling.attn_factor", 0.0));
  // GGUF's factor multiplies the usual 0.1 ln(factor) + 1.
  if (attention > 0)
    rope["attention_factor"] = factor > 1 ? attention * (0.1 * real_log(factor) + 1) : attention;
  return rope;
}

Result<nlohmann::json> read_decoder(const GgufFile& file, const std::string& prefix) {
  nlohmann::json json;
  const struct {
    const char *key, *name;
  } sizes[] = {{"block_count", "num_hidden_layers"},
               {"embedding_length", "hidden_size"},
               {"feed_forward_length", "intermediate_size"},
               {"attention.head_count", "num_attention_heads"},
               {"attention.head_count_kv", "num_key_value_heads"},
               {"context_length", "max_position_embeddings"}};
  for (const auto& size : sizes) {
    DSPARK_TRY(json[size.name], file.integer(prefix + size.key));
  }
  const int64_t hidden = json["hidden_size"], heads = json["num_attention_heads"];
  if (heads < 1)
    return fail("{}: key {}attention.head_count: {}, expected at least 1", file.name(), prefix,
                heads);
  DSPARK_TRY(const int64_t head_dim, file.integer(prefix + "attention.key_length", hidden / heads));
  DSPARK_TRY(const int64_t value_dim, file.integer(prefix + "attention.value_length", head_dim));
  if (value_dim != head_dim)
    return fail("{}: key {}attention.value_length: {} differs from the key length {}", file.name(),
                prefix, value_dim, head_dim);
  json["head_dim"] = head_dim;
  DSPARK_TRY(json["rms_norm_eps"], file.number(prefix + "attention.layer_norm_rms_epsilon"));
  DSPARK_TRY(json["rope_parameters"], read_rope(file, prefix, head_dim));
  return json;
}

// The vocabulary is the tokenizer's, which the file carries; else what its tensors say.
Result<int64_t> read_vocabulary(const GgufFile& file) {
  if (file.has("tokenizer.ggml.tokens")) {
    DSPARK_TRY(const auto* tokens, file.strings("tokenizer.ggml.tokens"));
    return static_cast<int64_t>(tokens->size());
  }
  for (const char* name : {"markov_w1.weight", "token_embd.weight"})
    if (const TensorView* tensor = file.find(name)) return tensor->rows();
  return fail("{}: key tokenizer.ggml.tokens is missing", file.name());
}

Status read_block(const GgufFile& file, const std::string& prefix, nlohmann::json& json) {
  DSPARK_TRY(json["block_size"], file.integer(prefix + "block_size"));
  DSPARK_TRY(json["mask_token_id"], file.integer("tokenizer.ggml.mask_token_id"));
  const TensorView* markov = file.find("markov_w1.weight");
  // Without the key, files with a Markov head draft from the anchor on, and plain DFlash from the
  // first mask on, as they were served before there was a key.
  DSPARK_TRY(json["sample_from_anchor"],
             file.boolean(prefix + "sample_from_anchor", markov != nullptr));
  json["markov_rank"] = markov != nullptr ? markov->columns() : 0;
  json["markov_head_type"] = "vanilla";
  const bool confidence = file.find(kConfidence) != nullptr;
  json["enable_confidence_head"] = confidence;
  json["confidence_head_with_markov"] = confidence;
  return {};
}

Status read_d2t(const GgufFile& file, DrafterConfig& config) {
  const TensorView* tensor = file.find(kD2tTensor);
  if (tensor == nullptr) return {};
  DSPARK_TRY(config.d2t, read_ids(file, *tensor, DType::kI64));
  config.draft_vocab = narrowed(static_cast<int64_t>(config.d2t.size()));
  return {};
}

}  // namespace

bool is_llamacpp_drafter(std::string_view architecture) {
  return architecture == "dflash" || architecture == "eagle3";
}

Result<DrafterConfig> config_from_llamacpp(const GgufFile& file) {
  DSPARK_TRY(const std::string architecture, file.string("general.architecture"));
  const std::string prefix = architecture + ".";
  const bool eagle3 = architecture == "eagle3";
  DSPARK_RETURN_IF_ERROR(refuse_features(file, prefix));
  DSPARK_TRY(nlohmann::json json, read_decoder(file, prefix));
  json["architectures"] = {eagle3 ? "Qwen3Eagle3Model" : "Qwen3DSparkModel"};
  DSPARK_TRY(json["vocab_size"], read_vocabulary(file));
  // It taps what enters a layer, DeepSpec what leaves one.
  DSPARK_TRY(std::vector<int64_t> taps, file.integers(prefix + "target_layers"));
  for (int64_t& tap : taps) tap = narrowed(tap) - 1;
  json["target_layer_ids"] = taps;
  if (eagle3) {
    DSPARK_TRY(const int64_t hidden,
               file.integer(prefix + "target_hidden_size", json["hidden_size"].get<int64_t>()));
    if (hidden != json["hidden_size"])
      return fail("{}: key {}target_hidden_size: {}, expected the drafter's own {}", file.name(),
                  prefix, hidden, json["hidden_size"].dump());
    json["ttt_length"] = 7;  // not stored: DeepSpec's
    json["qk_norm"] = file.find("blk.0.attn_q_norm.weight") != nullptr;
  } else {
    DSPARK_RETURN_IF_ERROR(read_block(file, prefix, json));
  }
  DSPARK_TRY(const auto parsed, formats::JsonConfig::parse(json.dump(), file.name()));
  DSPARK_TRY(DrafterConfig config, config_from_json(parsed));
  config.decoder.interleaved_rope = eagle3;  // as in all of llama.cpp's Llama family
  DSPARK_RETURN_IF_ERROR(read_rope_freqs(file, config));
  DSPARK_RETURN_IF_ERROR(read_d2t(file, config));
  return config;
}

std::vector<TensorView> llamacpp_tensors(const GgufFile& file,
                                         std::deque<std::vector<float>>& owned) {
  std::vector<TensorView> tensors = file.tensors();
  bool confidence = false, bias = false;
  for (TensorView& tensor : tensors) {
    bias = bias || tensor.name == kConfidenceBias;
    if (tensor.name != kConfidence) continue;
    confidence = true;
    if (tensor.shape.size() == 1) tensor.shape.insert(tensor.shape.begin(), 1);
    if (!is_quantised(tensor.type)) continue;
    std::vector<float>& values = owned.emplace_back(static_cast<size_t>(tensor.values()));
    dequantise(tensor.type, tensor.data, values.data(), values.size());
    tensor.type = DType::kF32;
    tensor.data = reinterpret_cast<const uint8_t*>(values.data());
    tensor.bytes = values.size() * sizeof(float);
  }
  if (confidence && !bias) {
    const std::vector<float>& zero = owned.emplace_back(1, 0.0f);
    tensors.push_back({kConfidenceBias,
                       DType::kF32,
                       {1},
                       reinterpret_cast<const uint8_t*>(zero.data()),
                       sizeof(float)});
  }
  return tensors;
}

}  // namespace dspark::draft

// Gemma 4 descriptions from config.json: what is read, and what is refused with its key's name.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/model.h"

namespace dspark::model {
namespace {

using nlohmann::json;

json config() {
  return json::parse(R"({
    "model_type": "gemma4_text", "num_hidden_layers": 3, "hidden_size": 3840,
    "intermediate_size": 15360, "num_attention_heads": 16, "num_key_value_heads": 8,
    "head_dim": 256, "global_head_dim": 512, "num_global_key_value_heads": 1,
    "attention_k_eq_v": true, "vocab_size": 262144, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 1024,
    "final_logit_softcapping": 30.0, "hidden_size_per_layer_input": 0,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "rope_parameters": {
      "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1e6,
                         "rope_type": "proportional"},
      "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
      "rope_theta": null, "rope_type": "default"}
  })");
}

Result<Spec> read(const json& j) {
  return spec_from_config(formats::JsonConfig::parse(j.dump(), "config.json").take());
}

TEST(Gemma4, ReadsLayersOfTwoKinds) {
  const auto read_spec = read(config());
  ASSERT_TRUE(read_spec.ok()) << read_spec.message();
  const Spec& spec = read_spec.value();
  EXPECT_EQ(spec.family, Family::kGemma4);
  EXPECT_EQ(spec.activation, Activation::kGeluTanh);
  EXPECT_EQ(spec.logit_softcap, 30.0f);
  EXPECT_TRUE(spec.tied_head);  // the family's default
  ASSERT_EQ(spec.kinds.size(), 2u);
  EXPECT_EQ(spec.kind_of_layer, (std::vector<uint8_t>{0, 0, 1}));
  const AttentionKind &sliding = spec.attention(0), &full = spec.attention(2);
  EXPECT_EQ(sliding.head_dim, 256);
  EXPECT_EQ(sliding.kv_heads, 8);
  EXPECT_EQ(sliding.window, 1024);
  EXPECT_FALSE(sliding.values_are_keys);
  EXPECT_EQ(sliding.rope.dim, 256);
  EXPECT_EQ(sliding.rope.theta, 1e4);
  EXPECT_EQ(full.head_dim, 512);
  EXPECT_EQ(full.kv_heads, 1);
  EXPECT_EQ(full.window, 0);
  EXPECT_TRUE(full.values_are_keys);
  EXPECT_EQ(full.rope.pairs, 64);
  EXPECT_EQ(full.score_scale(), 1.0f);
  EXPECT_EQ(spec.q_width(0), 4096);
  EXPECT_EQ(spec.q_width(2), 8192);
}

TEST(Gemma4, GlobalKeyValueHeadsNeedSharedProjections) {
  json j = config();
  j["attention_k_eq_v"] = false;
  EXPECT_EQ(read(j)->attention(2).kv_heads, 8);
  j["attention_k_eq_v"] = true;
  j["num_global_key_value_heads"] = nullptr;
  EXPECT_EQ(read(j)->attention(2).kv_heads, 8);
}

TEST(Gemma4, TurnsTheFirstPairsByTheWholeHeadsFrequencies) {
  Rope rope;
  rope.theta = 1e6, rope.dim = 512, rope.pairs = 64;
  float amplitude;
  const std::vector<float> frequencies = rope_frequencies(rope, &amplitude);
  ASSERT_EQ(frequencies.size(), 256u);
  EXPECT_EQ(amplitude, 1.0f);
  for (size_t i = 0; i < 256; ++i)
    if (i < 64)
      EXPECT_NEAR(frequencies[i] * std::pow(1e6, 2.0 * static_cast<double>(i) / 512), 1, 1e-6);
    else
      EXPECT_EQ(frequencies[i], 0.0f);
}

TEST(Gemma4, EmbeddingScaleIsRoundedToTheStoredType) {
  Spec spec = read(config()).take();
  EXPECT_EQ(embedding_scale(spec, DType::kBF16), 62.0f);
  EXPECT_EQ(embedding_scale(spec, DType::kF32), static_cast<float>(std::sqrt(3840.0)));
  spec.scaled_embedding = false;
  EXPECT_EQ(embedding_scale(spec, DType::kBF16), 1.0f);
}

TEST(Gemma4, RefusesWhatItLacksByName) {
  const struct {
    const char* patch;
    const char* message;
  } cases[] = {
      {R"({"enable_moe_block": true})", "key enable_moe_block: true: mixture-of-experts layers"},
      {R"({"hidden_size_per_layer_input": 256})",
       "key hidden_size_per_layer_input: 256: per-layer inputs are not supported"},
      {R"({"hidden_size_per_layer_input": null})", "key hidden_size_per_layer_input: 256"},
      {R"({"num_kv_shared_layers": 20})", "key num_kv_shared_layers: 20"},
      {R"({"use_double_wide_mlp": true})", "key use_double_wide_mlp: true"},
      {R"({"use_bidirectional_attention": "all"})", "key use_bidirectional_attention: \"all\""},
      {R"({"hidden_activation": "silu"})", "key hidden_activation: \"silu\""},
      {R"({"layer_types": null})", "key layer_types: expected the types of 3 layers"},
      {R"({"num_hidden_layers": 4})", "key layer_types: expected the types of 4 layers"},
      {R"({"num_hidden_layers": -1})", "key num_hidden_layers: -1"},
      {R"({"num_hidden_layers": 1e15})", "expected the types of 1073741824 layers"},
      {R"({"layer_types": ["full_attention", "full_attention", "linear_attention"]})",
       "key layer_types: \"linear_attention\""},
      {R"({"layer_types": ["full_attention", "full_attention", "sliding_attention"]})",
       "key layer_types: the last layer is sliding_attention"},
      {R"({"layer_types": ["full_attention", 1, "full_attention"]})", "key layer_types: 1"},
      {R"({"sliding_window": null})", "key 'sliding_window' is missing"},
      {R"({"sliding_window": 0})", "key sliding_window: 0"},
      {R"({"sliding_window": 1e12})", "sliding window 1000000000000"},
      {R"({"global_head_dim": null})", "key 'global_head_dim' is missing"},
      {R"({"global_head_dim": 1024})", "head size is 1024, expected 1 to 512"},
      {R"({"global_head_dim": 0})", "turns no pair"},
      {R"({"global_head_dim": 501})", "501 rotated dimensions"},
      {R"({"head_dim": -3})", "head size is -1"},
      {R"({"num_global_key_value_heads": 3})", "16 query heads are no multiple of 3"},
      {R"({"num_global_key_value_heads": 0})", "key/value heads is 0"},
      {R"({"num_key_value_heads": 0})", "key/value heads is 0"},
      {R"({"num_attention_heads": 0})", "key num_attention_heads: 0"},
      {R"({"final_logit_softcapping": -1})", "logit soft cap -1"},
      {R"({"rope_parameters": null})",
       "key 'rope_parameters.sliding_attention.rope_theta' is missing"},
      {R"({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}})",
       "rope_parameters.full_attention.rope_type: \"yarn\", expected default or proportional"},
      {R"({"rope_parameters": {"full_attention": {"partial_rotary_factor": 1.5}}})",
       "partial_rotary_factor: 1.5, expected above 0 and at most 1"},
      {R"({"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.001}}})",
       "turns no pair"},
      {R"({"rope_parameters": {"full_attention": {"factor": 0}}})", "RoPE scaling factor 0"},
      {R"({"rope_parameters": {"sliding_attention": {"rope_theta": 0.5}}})", "RoPE base 0.5"},
      {R"({"rope_parameters": {"sliding_attention": {"partial_rotary_factor": 0.5}}})",
       "partial_rotary_factor: 0.5, expected 1 with rope_type default"},
  };
  for (const auto& c : cases) {
    json j = config();
    j.merge_patch(json::parse(c.patch));
    const auto spec = read(j);
    ASSERT_FALSE(spec.ok()) << c.patch;
    EXPECT_NE(spec.message().find(c.message), std::string::npos) << spec.message();
  }
}

TEST(Gemma4, UnifiedTextHasNoPerLayerInputs) {
  json j = config();
  j["model_type"] = "gemma4_unified_text";
  j["use_bidirectional_attention"] = "vision";  // of images only
  j.erase("hidden_size_per_layer_input");
  const auto spec = read(j);
  ASSERT_TRUE(spec.ok()) << spec.message();
  EXPECT_EQ(spec.value().architecture, "gemma4_unified_text");
}

TEST(Gemma4, DraftLayersSeeAllPositions) {
  const auto draft = [](const json& j) {
    return draft_spec_from_config(formats::JsonConfig::parse(j.dump(), "config.json").take());
  };
  json j = config();
  EXPECT_NE(draft(j).message().find("draft layers are full_attention"), std::string::npos);
  j["layer_types"] = {"full_attention", "full_attention", "full_attention"};
  const auto spec = draft(j);
  ASSERT_TRUE(spec.ok()) << spec.message();
  ASSERT_EQ(spec.value().kinds.size(), 1u);
  EXPECT_EQ(spec.value().kv_width(1), 512);
}

}  // namespace
}  // namespace dspark::model

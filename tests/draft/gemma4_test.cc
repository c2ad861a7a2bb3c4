// Gemma 4's drafters: DeepSpec's directories, and their config written and read again.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "draft/config_json.h"
#include "draft/draft.h"
#include "draft/readers.h"

namespace dspark::draft {
namespace {

std::filesystem::path drafter_folder(const std::string& name) {
  return std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/fixtures" / name / "draft";
}

DrafterFile opened_gemma4(const std::string& name) {
  auto file = DrafterFile::open(drafter_folder(name));
  CHECK(file.ok(), "{}", file.message());
  return file.take();
}

TEST(Gemma4Drafter, Block) {
  const DrafterFile file = opened_gemma4("gemma4_dspark");
  const model::Spec& s = file.config().decoder;
  EXPECT_EQ(file.config().kind, Kind::kBlock);
  EXPECT_EQ(s.family, model::Family::kGemma4);
  ASSERT_EQ(s.kinds.size(), 1u);
  EXPECT_EQ(s.kinds[0].head_dim, 32);
  EXPECT_EQ(s.kinds[0].kv_heads, 1);
  EXPECT_EQ(s.kinds[0].rope.pairs, 4);
  EXPECT_TRUE(s.kinds[0].values_are_keys && s.sandwich_norms && s.scaled_embedding);
  EXPECT_EQ(s.logit_softcap, 12.0f);
  EXPECT_FALSE(s.tied_head);
  EXPECT_NE(file.find("layers.1.layer_scalar"), nullptr);
  EXPECT_EQ(file.find("layers.1.self_attn.v_proj.weight"), nullptr);
}

TEST(Gemma4Drafter, Eagle3) {
  const DrafterFile file = opened_gemma4("gemma4_eagle3");
  EXPECT_EQ(file.config().kind, Kind::kEagle3);
  EXPECT_TRUE(file.config().decoder.pairs_embedding);
  EXPECT_EQ(file.tensors().size(), 18u);
}

Result<DrafterConfig> read_again(const nlohmann::json& json) {
  return config_from_deepspec(formats::JsonConfig::parse(json.dump(), "config.json").take());
}

TEST(Gemma4Drafter, ConfigWrittenAndReadAgain) {
  for (const char* name : {"gemma4_dspark", "gemma4_eagle3"}) {
    DrafterConfig config = opened_gemma4(name).config();
    for (const int pairs : {config.decoder.kinds[0].rope.pairs, 1, 2, 3, 5, 7, 11}) {
      config.decoder.kinds[0].rope.pairs = pairs;
      const auto again = read_again(config_to_json(config));
      ASSERT_TRUE(again.ok()) << again.message();
      const model::Spec& s = again.value().decoder;
      EXPECT_EQ(s.family, model::Family::kGemma4);
      EXPECT_EQ(s.kinds[0].head_dim, config.decoder.kinds[0].head_dim);
      EXPECT_EQ(s.kinds[0].kv_heads, config.decoder.kinds[0].kv_heads);
      EXPECT_EQ(s.kinds[0].rope.pairs, pairs);
      EXPECT_EQ(s.kinds[0].rope.theta, 1e6);
      EXPECT_TRUE(s.kinds[0].values_are_keys);
      EXPECT_EQ(s.logit_softcap, 12.0f);
      EXPECT_EQ(again.value().target_layer_ids, config.target_layer_ids);
    }
  }
}

TEST(Gemma4Drafter, RefusesAnotherFamilysLayers) {
  nlohmann::json json = config_to_json(opened_gemma4("gemma4_dspark").config());
  json["model_type"] = "qwen3";
  json["hidden_act"] = "silu";
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 1e6}};
  EXPECT_NE(read_again(json).message().find("expected gemma4_text for Gemma4DSparkModel"),
            std::string::npos);
  json = config_to_json(opened_gemma4("gemma4_dspark").config());
  json["layer_types"][0] = "sliding_attention";
  json["sliding_window"] = 8;
  EXPECT_NE(read_again(json).message().find("draft layers are full_attention"), std::string::npos);
}

}  // namespace
}  // namespace dspark::draft

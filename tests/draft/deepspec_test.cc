// DeepSpec's Hugging Face directories: the fixtures' drafters.
#include <gtest/gtest.h>

#include "draft/support.h"

namespace dspark::draft {
namespace {

DrafterFile opened_fixture(const std::string& name) { return opened(fixture(name) / "draft"); }

TEST(DeepSpecDirectory, Vanilla) {
  const DrafterFile file = opened_fixture("qwen3_dspark_vanilla");
  const DrafterConfig& c = file.config();
  EXPECT_EQ(c.kind, Kind::kBlock);
  EXPECT_EQ(c.decoder.family, model::Family::kQwen3);
  EXPECT_EQ(c.decoder.layers, 2);
  EXPECT_EQ(c.decoder.hidden, 64);
  EXPECT_EQ(c.decoder.ffn, 96);
  EXPECT_EQ(c.decoder.heads, 4);
  EXPECT_EQ(c.decoder.kinds[0].kv_heads, 2);
  EXPECT_EQ(c.decoder.kinds[0].head_dim, 16);
  EXPECT_EQ(c.decoder.vocab, 512);
  EXPECT_EQ(c.decoder.kinds[0].rope.dim, 16);
  EXPECT_EQ(c.decoder.kinds[0].rope.theta, 10000);
  EXPECT_TRUE(c.decoder.qk_norm);
  EXPECT_FALSE(c.decoder.pairs_embedding || c.decoder.qkv_bias || c.decoder.tied_head);
  EXPECT_EQ(c.target_layers, 4);
  EXPECT_EQ(c.target_layer_ids, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(c.block_size, 7);
  EXPECT_EQ(c.slots(), 7);
  EXPECT_EQ(c.mask_token_id, 509);
  EXPECT_TRUE(c.anchor_predicts);
  EXPECT_EQ(c.markov_rank, 8);
  EXPECT_EQ(c.markov_head, MarkovHead::kVanilla);
  EXPECT_TRUE(c.confidence_head && c.confidence_with_markov);
  EXPECT_EQ(c.draft_vocab, 512);
  EXPECT_TRUE(c.d2t.empty());
  EXPECT_EQ(file.tensors().size(), 31u);
  ASSERT_NE(file.find("markov_head.markov_w2.weight"), nullptr);
  EXPECT_EQ(file.find("markov_head.markov_w2.weight")->shape, (std::vector<int64_t>{512, 8}));
  EXPECT_EQ(file.find("model.norm.weight"), nullptr);
}

TEST(DeepSpecDirectory, Gated) {
  const DrafterConfig c = opened_fixture("qwen3_dspark_gated").config();
  EXPECT_EQ(c.markov_head, MarkovHead::kGated);
  EXPECT_EQ(c.markov_rank, 12);
  EXPECT_EQ(c.target_layer_ids, (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(c.decoder.kinds[0].rope.theta, 1e6);
}

TEST(DeepSpecDirectory, Rnn) {
  const DrafterFile file = opened_fixture("qwen3_dspark_rnn");
  EXPECT_EQ(file.config().markov_head, MarkovHead::kRnn);
  EXPECT_TRUE(file.config().confidence_head);
  EXPECT_FALSE(file.config().confidence_with_markov);
  EXPECT_TRUE(file.config().decoder.qkv_bias && file.config().decoder.output_bias);
  EXPECT_EQ(file.find("markov_head.joint_proj.weight")->shape, (std::vector<int64_t>{48, 104}));
}

TEST(DeepSpecDirectory, DFlash) {
  const DrafterConfig c = opened_fixture("qwen3_dflash").config();
  EXPECT_EQ(c.kind, Kind::kBlock);
  EXPECT_EQ(c.markov_head, MarkovHead::kNone);
  EXPECT_EQ(c.markov_rank, 0);
  EXPECT_FALSE(c.confidence_head);
  EXPECT_EQ(c.decoder.layers, 3);
}

TEST(DeepSpecDirectory, Eagle3) {
  const DrafterFile file = opened_fixture("qwen3_eagle3");
  EXPECT_EQ(file.config().kind, Kind::kEagle3);
  EXPECT_EQ(file.config().ttt_length, 5);
  EXPECT_EQ(file.config().slots(), 5);
  EXPECT_EQ(file.config().taps(), 5);
  EXPECT_TRUE(file.config().decoder.pairs_embedding);
  EXPECT_EQ(file.find("layers.0.self_attn.k_proj.weight")->shape, (std::vector<int64_t>{32, 128}));
  EXPECT_NE(file.find("layers.0.hidden_norm.weight"), nullptr);
}

}  // namespace
}  // namespace dspark::draft

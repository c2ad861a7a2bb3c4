// llama.cpp's form: what it means, and files that lie.
#include <gtest/gtest.h>

#include "draft/support.h"

namespace dspark::draft {
namespace {

using formats::GgufArray;

class LlamaCppForm : public testing::Test {
 protected:
  // A valid file of theirs, built from one of ours.
  GgufParts theirs() {
    write_own(good_, config_);
    GgufParts ours(good_), out = ours;
    out.keys.clear();
    const model::Spec& s = config_.decoder;
    const auto set = [&](const char* name, int64_t value) {
      out.keys["dflash." + std::string(name)] = static_cast<uint64_t>(value);
    };
    out.keys["general.architecture"] = std::string("dflash");
    set("block_count", s.layers);
    set("context_length", s.context);
    set("embedding_length", s.hidden);
    set("feed_forward_length", s.ffn);
    set("attention.head_count", s.heads);
    set("attention.head_count_kv", s.kinds[0].kv_heads);
    set("attention.key_length", s.kinds[0].head_dim);
    set("block_size", config_.block_size);
    out.keys["dflash.attention.layer_norm_rms_epsilon"] = 1e-6;
    out.keys["dflash.target_layers"] = GgufArray{std::vector<uint64_t>{0, 1, 4}};
    out.keys["tokenizer.ggml.mask_token_id"] = uint64_t{95};
    return out;
  }
  template <class Change>
  void refused(const std::string& part, Change change) {
    SCOPED_TRACE(part);
    GgufParts parts = theirs();
    change(parts);
    parts.write(bad_);
    expect_refused(bad_, part);
  }

  DrafterConfig config_ = small_config();
  ScratchFolder scratch_;
  const std::filesystem::path good_ = scratch_ / "good.gguf", bad_ = scratch_ / "bad.gguf";
};

TEST_F(LlamaCppForm, IsReadAsOurs) {
  theirs().write(bad_);
  DrafterConfig wanted = config_;
  wanted.target_layers = 0;
  expect_same_config(opened(bad_).config(), wanted);
}

TEST_F(LlamaCppForm, ConfidenceHeadInItsOtherShapes) {
  GgufParts parts = theirs();
  parts.tensors.erase("conf_proj.bias");
  parts.tensors["conf_proj.weight"].shape = {96};
  parts.write(bad_);
  const DrafterFile file = opened(bad_);
  EXPECT_EQ(file.find("confidence_head.proj.weight")->shape, (std::vector<int64_t>{1, 96}));
  EXPECT_EQ(values_of(*file.find("confidence_head.proj.bias")), std::vector<float>{0});
  file.release(*file.find("confidence_head.proj.bias"));

  std::vector<float> values = values_of(*file.find("confidence_head.proj.weight"));
  std::string blocks(dtype_bytes(DType::kQ8_0, 96), '\0');
  ASSERT_TRUE(quantise(DType::kQ8_0, values.data(), reinterpret_cast<uint8_t*>(blocks.data()), 96));
  parts.tensors["conf_proj.weight"] = {DType::kQ8_0, {1, 96}, blocks};
  parts.write(good_);
  dequantise(DType::kQ8_0, reinterpret_cast<const uint8_t*>(blocks.data()), values.data(), 96);
  EXPECT_EQ(values_of(*opened(good_).find("confidence_head.proj.weight")), values);
}

TEST_F(LlamaCppForm, WithoutTheKeyAMarkovHeadDraftsFromTheAnchorAndDFlashFromTheMasks) {
  theirs().write(bad_);
  EXPECT_TRUE(opened(bad_).config().anchor_predicts);
  GgufParts parts = theirs();
  for (const char* name :
       {"markov_w1.weight", "markov_w2.weight", "conf_proj.weight", "conf_proj.bias"})
    parts.tensors.erase(name);
  parts.write(bad_);
  EXPECT_FALSE(opened(bad_).config().anchor_predicts);
  EXPECT_EQ(opened(bad_).config().slots(), 3);
  parts.keys["dflash.sample_from_anchor"] = true;
  parts.write(bad_);
  EXPECT_TRUE(opened(bad_).config().anchor_predicts);
}

TEST_F(LlamaCppForm, Refusals) {
  for (const char* required :
       {"dflash.block_count", "dflash.embedding_length", "dflash.feed_forward_length",
        "dflash.attention.head_count", "dflash.attention.layer_norm_rms_epsilon",
        "dflash.context_length", "dflash.target_layers", "dflash.block_size",
        "tokenizer.ggml.mask_token_id"})
    refused(required, [&](GgufParts& p) { p.keys.erase(required); });
  const auto key = [&](const char* part, const char* name, formats::GgufValue value) {
    refused(part, [&](GgufParts& p) { p.keys[name] = std::move(value); });
  };
  key("dflash.attention.sliding_window: 512 is not supported", "dflash.attention.sliding_window",
      uint64_t{512});
  key("dflash.attention.causal: true is not supported", "dflash.attention.causal", true);
  key("dflash.expert_count: 8", "dflash.expert_count", uint64_t{8});
  key("final_logit_softcapping: 30", "dflash.final_logit_softcapping", 30.0);
  key("expected whole heads of 32", "dflash.rope.dimension_count", uint64_t{16});
  key("expected none, linear or yarn", "dflash.rope.scaling.type", std::string("longrope"));
  key("rope.scaling.factor", "dflash.rope.scaling.type", std::string("linear"));
  key("differs from the key length", "dflash.attention.value_length", uint64_t{16});
  key("not ascending", "dflash.target_layers", GgufArray{std::vector<uint64_t>{3, 1}});
  key("expected at least 1", "dflash.attention.head_count", uint64_t{0});
  key("tensor token_embd.weight: shape [96, 64], expected [97, 64]", "tokenizer.ggml.tokens",
      GgufArray{std::vector<std::string>(97, "a")});
  refused("tensor d2t: type i32", [](GgufParts& p) {
    p.tensors["d2t"] = {DType::kI32, {1}, std::string(4, '\0')};
  });
  refused("d2t, row 0: -1", [](GgufParts& p) {  // an id that 32 bits cannot hold
    p.tensors["d2t"] = {DType::kI64, {1}, std::string("\0\0\0\0\1\0\0\0", 8)};
  });
  refused("tensor 'blk.0.attn_sinks.weight' is not part of", [](GgufParts& p) {
    p.tensors["blk.0.attn_sinks.weight"] = {DType::kF32, {4}, std::string(16, '\0')};
  });
}

}  // namespace
}  // namespace dspark::draft

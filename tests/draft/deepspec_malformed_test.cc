// DeepSpec directories that are odd or lie.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "draft/support.h"
#include "formats/safetensors_bytes.h"

namespace dspark::draft {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The vanilla fixture's files, changed.
class Directory : public testing::Test {
 protected:
  Directory() {
    config_ = json::parse(bytes_of(fixture("qwen3_dspark_vanilla") / "draft/config.json"));
    auto stored = formats::Safetensors::open_directory(fixture("qwen3_dspark_vanilla") / "draft");
    CHECK(stored.ok(), "{}", stored.message());
    stored_ = std::make_unique<formats::Safetensors>(stored.take());
    tensors_ = stored_->tensors();
  }
  void write() {
    scratch_.write("config.json", config_.dump());
    const Status status = formats::write_safetensors(scratch_ / "model.safetensors", tensors_, {});
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  template <class Change>
  void refused(const std::string& part, Change change) {
    SCOPED_TRACE(part);
    const json config = config_;
    const auto tensors = tensors_;
    change(config_);
    write();
    expect_refused(scratch_.path(), part);
    config_ = config;
    tensors_ = tensors;
  }
  TensorView& tensor(std::string_view name) {
    for (TensorView& t : tensors_)
      if (t.name == name) return t;
    CHECK(false);
  }
  void erase(std::string_view name) {
    std::erase_if(tensors_, [&](const TensorView& t) { return t.name == name; });
  }

  ScratchFolder scratch_;
  json config_;
  std::unique_ptr<formats::Safetensors> stored_;
  std::vector<TensorView> tensors_;
};

TEST_F(Directory, OldRopeLayoutAndMissingEmbeddingAndHead) {
  config_.erase("rope_parameters");
  config_["rope_theta"] = 5e5;
  config_["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  config_["partial_rotary_factor"] = 0.5;  // of the target: draft layers rotate whole heads
  erase("embed_tokens.weight");
  erase("lm_head.weight");
  write();
  const DrafterFile file = opened(scratch_.path());
  EXPECT_EQ(file.config().decoder.kinds[0].rope.theta, 5e5);
  EXPECT_EQ(file.config().decoder.kinds[0].rope.factor, 2.0);
  EXPECT_EQ(file.config().decoder.kinds[0].rope.dim, 16);
  EXPECT_EQ(file.find("lm_head.weight"), nullptr);
  EXPECT_EQ(file.tensors().size(), 29u);
}

TEST_F(Directory, Shards) {
  json index;
  for (size_t shard = 0; shard < 2; ++shard) {
    std::vector<TensorView> part;
    const std::string name = fmt::format("model-{}.safetensors", shard);
    for (size_t i = shard; i < tensors_.size(); i += 2) {
      part.push_back(tensors_[i]);
      index["weight_map"][tensors_[i].name] = name;
    }
    ASSERT_TRUE(formats::write_safetensors(scratch_ / name, part, {}).ok());
  }
  scratch_.write("model.safetensors.index.json", index.dump());
  scratch_.write("config.json", config_.dump());
  EXPECT_EQ(opened(scratch_.path()).tensors().size(), 31u);
  fs::remove(scratch_ / "model-1.safetensors");
  expect_refused(scratch_.path(), "model-1.safetensors");
}

TEST_F(Directory, AnchorPlusMasksBehindItsKey) {
  config_["sample_from_anchor"] = false;
  write();
  EXPECT_FALSE(opened(scratch_.path()).config().anchor_predicts);
  EXPECT_EQ(opened(scratch_.path()).config().slots(), 6);
  refused("block size 1, expected 2", [](json& c) { c["block_size"] = 1; });
}

TEST_F(Directory, Eagle3HasAnAlias) {
  config_ = json::parse(bytes_of(fixture("qwen3_eagle3") / "draft/config.json"));
  auto eagle3 = formats::Safetensors::open_directory(fixture("qwen3_eagle3") / "draft");
  ASSERT_TRUE(eagle3.ok());
  tensors_ = eagle3->tensors();
  config_["architectures"] = {"Eagle3DraftModel"};
  write();
  EXPECT_EQ(opened(scratch_.path()).config().kind, Kind::kEagle3);
  refused("4 layers, expected 5 for Eagle3", [](json& c) { c["target_layer_ids"] = {0, 1, 2, 3}; });
  refused("key 'ttt_length' is missing", [](json& c) { c.erase("ttt_length"); });
}

TEST_F(Directory, Configs) {
  for (const char* required : {"target_layer_ids", "num_target_layers", "block_size",
                               "mask_token_id", "markov_rank", "markov_head_type", "hidden_size"})
    refused(required, [&](json& c) { c.erase(required); });
  refused("architectures: expected one name", [](json& c) { c.erase("architectures"); });
  refused("architectures: expected one name", [](json& c) { c["architectures"] = {"a", "b"}; });
  refused("architectures: expected one name", [](json& c) { c["architectures"] = {7}; });
  refused("'LlamaForCausalLM' is no drafter, expected one of Qwen3DSparkModel",
          [](json& c) { c["architectures"] = {"LlamaForCausalLM"}; });
  refused("tie_word_embeddings", [](json& c) { c["tie_word_embeddings"] = true; });
  refused("draft_vocab_size: not part of DeepSpec's form",
          [](json& c) { c["draft_vocab_size"] = 100; });
  refused("quantization_config", [](json& c) { c["quantization_config"] = {{"bits", 4}}; });
  refused("reads a Markov head, and there is none", [](json& c) { c["markov_rank"] = 0; });
  refused("layer_types", [](json& c) { c["layer_types"] = {"sliding_attention"}; });
  refused("target layer id 3", [](json& c) { c["target_layer_ids"] = {0, 1, 3}; });
  refused("expected a 64-bit integer", [](json& c) { c["target_layer_ids"] = {0, 1.5}; });
  scratch_.write("config.json", "{\"architectures\": [");
  expect_refused(scratch_.path(), "not valid JSON");
  fs::remove(scratch_ / "config.json");
  expect_refused(scratch_.path(), "config.json");
  expect_refused(scratch_ / "nothing", "nothing");
}

TEST_F(Directory, Tensors) {
  refused("tensor markov_head.markov_w2.weight is missing",
          [&](json&) { erase("markov_head.markov_w2.weight"); });
  refused("tensor confidence_head.proj.bias is missing",
          [&](json&) { erase("confidence_head.proj.bias"); });
  refused("tensor 'confidence_head.proj.bias' is not part of a DSpark drafter",
          [](json& c) { c["enable_confidence_head"] = false; });
  refused("tensor 'markov_head.markov_w1.weight' is not part of a DFlash drafter", [&](json& c) {
    c["markov_rank"] = 0;
    c["enable_confidence_head"] = false;
    erase("confidence_head.proj.weight");
    erase("confidence_head.proj.bias");
  });
  refused("tensor confidence_head.proj.weight: shape [1, 72], expected [1, 64]",
          [](json& c) { c["confidence_head_with_markov"] = false; });
  refused("tensor fc.weight: shape [192, 64], expected [64, 192]", [&](json&) {
    tensor("fc.weight").shape = {192, 64};
  });
  refused("tensor fc.weight: type i32, expected a weight type",
          [&](json&) { tensor("fc.weight").type = DType::kI32; });
  refused("tensor 'd2t' is not part of", [&](json&) {
    tensors_.push_back({"d2t", DType::kF32, {1}, tensors_[0].data, 4});
  });
  refused("tensor 'model.norm.weight' is not part of", [&](json&) {
    tensors_.push_back(tensor("norm.weight"));
    tensors_.back().name = "model.norm.weight";
  });
  write();
  const std::string whole = bytes_of(scratch_ / "model.safetensors");
  for (size_t size = 0; size < whole.size(); size += 1 + size / 4) {
    scratch_.write("model.safetensors", std::string_view(whole).substr(0, size));
    expect_refused(scratch_.path(), "model.safetensors");
  }
  const std::string entry = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const std::string other = R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})";
  scratch_.write("model.safetensors",
                 safetensors_bytes("{\"a\":" + entry + ",\"a\":" + other + "}", "01234567"));
  expect_refused(scratch_.path(), "appears twice");
}

}  // namespace
}  // namespace dspark::draft

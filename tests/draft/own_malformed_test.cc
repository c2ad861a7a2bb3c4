// Files of our own form that lie: each is refused with a message that names the file and what was
// expected.
#include <gtest/gtest.h>

#include "draft/support.h"

namespace dspark::draft {
namespace {

namespace fs = std::filesystem;
using formats::GgufArray;

// Our own form, with one thing changed at a time.
class OwnForm : public testing::Test {
 protected:
  template <class Change>
  void refused(const std::string& part, Change change) {
    SCOPED_TRACE(part);
    write_own(good_, config_);
    GgufParts parts(good_);
    change(parts);
    parts.write(bad_);
    expect_refused(bad_, part);
  }
  template <class Change>
  void refused_config(const std::string& part, Change change) {
    SCOPED_TRACE(part);
    DrafterConfig c = config_;
    change(c);
    write_own(bad_, c);
    expect_refused(bad_, part);
  }
  void key(const std::string& part, const std::string& name, formats::GgufValue value) {
    refused(part, [&](GgufParts& p) { p.keys["dspark." + name] = std::move(value); });
  }

  DrafterConfig config_ = small_config();
  ScratchFolder scratch_;
  const fs::path good_ = scratch_ / "good.gguf", bad_ = scratch_ / "bad.gguf";
};

TEST_F(OwnForm, Keys) {
  for (const char* required :
       {"version", "architecture", "hidden_size", "num_hidden_layers", "intermediate_size",
        "num_attention_heads", "vocab_size", "max_position_embeddings", "target_layer_ids",
        "block_size", "mask_token_id", "markov_rank", "markov_head_type", "draft_vocab_size"})
    refused(required, [&](GgufParts& p) { p.keys.erase(std::string("dspark.") + required); });
  key("too old for the file", "version", uint64_t{2});
  key("'dspark.temperature' is unknown in version 1", "temperature", 1.0);
  key("is no drafter", "architecture", std::string("Qwen3ForCausalLM"));
  key("markov_head_type: 'trigram', expected", "markov_head_type", std::string("trigram"));
  key("expected silu", "hidden_act", std::string("gelu"));
  key("block_size", "block_size", std::string("five"));
  key("target_layer_ids", "target_layer_ids", GgufArray{std::vector<std::string>{"1"}});
  key("rope_parameters.factor", "rope_parameters.rope_type", std::string("magic"));
  refused("'llama' is no drafter",
          [](GgufParts& p) { p.keys["general.architecture"] = std::string("llama"); });
  refused("general.architecture", [](GgufParts& p) { p.keys.erase("general.architecture"); });
  refused("UTF-8", [](GgufParts& p) { p.keys["dspark.hidden_act"] = std::string("\xff\xfe"); });
}

TEST_F(OwnForm, AbsurdSizes) {
  const uint64_t huge = uint64_t{1} << 40;
  key("layers is", "num_hidden_layers", huge);
  key("hidden size is", "hidden_size", huge);
  key("hidden size is", "hidden_size", int64_t{-64});
  key("feed-forward size is", "intermediate_size", huge);
  key("query heads is", "num_attention_heads", huge);
  key("num_attention_heads", "num_attention_heads", uint64_t{0});
  key("no multiple", "num_key_value_heads", uint64_t{3});
  key("head size is", "head_dim", huge);
  key("vocabulary is", "vocab_size", huge);
  key("context is", "max_position_embeddings", uint64_t{0});
  key("block size", "block_size", huge);
  key("block size 0", "block_size", uint64_t{0});
  key("mask token 96 is not in the vocabulary of 96", "mask_token_id", uint64_t{96});
  key("mask token", "mask_token_id", int64_t{-1});
  key("Markov rank", "markov_rank", huge);
  key("Markov rank -3", "markov_rank", int64_t{-3});
  key("97 candidates", "markov_candidates", uint64_t{97});
  key("-1 candidates", "markov_candidates", int64_t{-1});
  key("draft vocabulary of 97", "draft_vocab_size", uint64_t{97});
  key("draft vocabulary of 0", "draft_vocab_size", uint64_t{0});
  key("a target of", "num_target_layers", huge);
  key("RoPE base", "rope_parameters.rope_theta", 0.5);
  config_ = small_eagle3();
  key("drafts a cycle", "ttt_length", huge);
  key("0 drafts a cycle", "ttt_length", uint64_t{0});
  key("2 draft layers, expected 1", "num_hidden_layers", uint64_t{2});
}

TEST_F(OwnForm, Taps) {
  refused_config("not ascending", [](DrafterConfig& c) { c.target_layer_ids = {2, 1}; });
  refused_config("not ascending", [](DrafterConfig& c) { c.target_layer_ids = {1, 1}; });
  key("0 target layer ids", "target_layer_ids", GgufArray{std::vector<int64_t>{}});
  key("65 target layer ids", "target_layer_ids", GgufArray{std::vector<int64_t>(65, 1)});
  refused_config("target layer id 4, expected -1 to 3 of a target of 5 layers",
                 [](DrafterConfig& c) {
                   c.target_layer_ids = {0, 4};
                 });
  refused_config("target layer id -2", [](DrafterConfig& c) { c.target_layer_ids = {-2, 0}; });
  config_ = small_eagle3();
  refused_config("target layer id -1, expected 0", [](DrafterConfig& c) {
    c.target_layer_ids = {-1, 0, 1, 2, 3};
  });
}

TEST_F(OwnForm, DraftVocabulary) {
  config_.d2t = {1, 5, 9};
  config_.draft_vocab = 3;
  const auto ids = [&](const char* part, std::vector<int32_t> d2t) {
    refused_config(part, [&](DrafterConfig& c) { c.d2t = std::move(d2t); });
  };
  ids("d2t, row 1: 1 after 5, expected ascending ids", {5, 1, 9});
  ids("d2t, row 2: 5 after 5", {1, 5, 5});
  ids("d2t, row 2: 96 is not in the vocabulary of 96", {1, 5, 96});
  ids("d2t, row 0: -1 is not in", {-1, 5, 9});
  refused("lacks its map d2t", [](GgufParts& p) { p.tensors.erase("d2t"); });
  refused("d2t has 2 rows, expected 3", [](GgufParts& p) {
    p.tensors["d2t"].shape = {2};
    p.tensors["d2t"].data.resize(8);
  });
  refused("tensor d2t: type f32", [](GgufParts& p) { p.tensors["d2t"].type = DType::kF32; });
  refused("tensor d2t: type i32 of 2 dimensions", [](GgufParts& p) {
    p.tensors["d2t"].shape = {1, 3};
  });
  refused("tensor output.weight: shape [3, 64], expected [4, 64]", [](GgufParts& p) {
    p.keys["dspark.draft_vocab_size"] = uint64_t{4};
    p.tensors["d2t"].shape = {4};
    p.tensors["d2t"].data += std::string("\x0a\0\0\0", 4);
  });
}

TEST_F(OwnForm, Tensors) {
  write_own(good_, config_);
  for (const auto& part : GgufParts(good_).tensors) {
    const std::string& name = part.first;
    if (name == "token_embd.weight" || name == "output.weight") continue;
    refused("tensor " + name + " is missing", [&](GgufParts& p) { p.tensors.erase(name); });
  }
  refused("tensor 'blk.2.attn_norm.weight' is not part of", [](GgufParts& p) {
    p.tensors["blk.2.attn_norm.weight"] = p.tensors["blk.1.attn_norm.weight"];
  });
  refused("tensor 'markov_gate.weight' is not part of",
          [](GgufParts& p) { p.tensors["markov_gate.weight"] = p.tensors["fc.weight"]; });
  refused("tensor fc.weight: shape [192, 64], expected [64, 192]", [](GgufParts& p) {
    p.tensors["fc.weight"].shape = {192, 64};
  });
  refused("tensor fc.weight: shape [64, 192, 1], expected [64, 192]", [](GgufParts& p) {
    p.tensors["fc.weight"].shape = {64, 192, 1};
  });
  refused("tensor output_norm.weight: shape [32], expected [64]", [](GgufParts& p) {
    p.tensors["output_norm.weight"].shape = {32};
    p.tensors["output_norm.weight"].data.resize(128);
  });
  refused("tensor fc.weight: type i32, expected a weight type",
          [](GgufParts& p) { p.tensors["fc.weight"].type = DType::kI32; });
  refused("tensor output_norm.weight: type q8_0, expected f32, f16 or bf16", [](GgufParts& p) {
    p.tensors["output_norm.weight"].type = DType::kQ8_0;
    p.tensors["output_norm.weight"].data.resize(68);
  });
  refused("rope_freqs.weight: expected 16 float values", [](GgufParts& p) {
    p.tensors["rope_freqs.weight"] = {DType::kF32, {8}, std::string(32, '\0')};
  });
  refused("rope_freqs.weight: value 0 is not positive", [](GgufParts& p) {
    p.tensors["rope_freqs.weight"] = {DType::kF32, {16}, std::string(64, '\0')};
  });
}

// Every prefix of a file, cut in its header, its tables and its tensors.
TEST_F(OwnForm, CutShort) {
  config_.decoder.layers = 1;
  write_own(good_, config_);
  const std::string whole = bytes_of(good_);
  for (size_t size = 0; size < whole.size(); size += 1 + size / 8) {
    scratch_.write("bad.gguf", std::string_view(whole).substr(0, size));
    expect_refused(bad_, "");
  }
}

}  // namespace
}  // namespace dspark::draft

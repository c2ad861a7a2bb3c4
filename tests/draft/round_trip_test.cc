// Between the forms, nothing is lost but what is said to be.
#include <gtest/gtest.h>

#include "draft/support.h"

namespace dspark::draft {
namespace {

namespace fs = std::filesystem;

const ScratchFolder& scratch() {
  static const ScratchFolder folder;
  return folder;
}

// Configs that differ in everything that a file says.
std::vector<std::pair<std::string, DrafterConfig>> all_configs() {
  std::vector<std::pair<std::string, DrafterConfig>> all;
  const auto add = [&](const char* name, DrafterConfig config, auto change) {
    change(config);
    all.emplace_back(name, std::move(config));
  };
  add("vanilla", small_config(), [](DrafterConfig&) {});
  add("gated", small_config(), [](DrafterConfig& c) { c.markov_head = MarkovHead::kGated; });
  add("rnn", small_config(), [](DrafterConfig& c) {
    c.markov_head = MarkovHead::kRnn;
    c.confidence_with_markov = false;
  });
  add("dflash", small_config(), [](DrafterConfig& c) {
    c.markov_head = MarkovHead::kNone;
    c.markov_rank = 0;
    c.confidence_head = c.confidence_with_markov = false;
  });
  add("masks_only", small_config(), [](DrafterConfig& c) { c.anchor_predicts = false; });
  add("draft_vocabulary", small_config(), [](DrafterConfig& c) {
    c.draft_vocab = 5;
    c.d2t = {0, 7, 8, 60, 95};
    c.candidates = 3;
  });
  add("biases", small_config(),
      [](DrafterConfig& c) { c.decoder.qkv_bias = c.decoder.output_bias = true; });
  add("fingerprint", small_config(),
      [](DrafterConfig& c) { c.tokenizer_fingerprint = "0123456789abcdef"; });
  add("eagle3", small_eagle3(), [](DrafterConfig&) {});
  add("plain_eagle3", small_eagle3(), [](DrafterConfig& c) {
    c.decoder.qk_norm = false;
    c.target_layer_ids = {1, 2, 4};
  });
  add("linear", small_config(), [](DrafterConfig& c) {
    c.decoder.kinds[0].rope.scaling = model::RopeScaling::kLinear;
    c.decoder.kinds[0].rope.factor = 4;
  });
  add("llama3", small_config(), [](DrafterConfig& c) {
    c.decoder.kinds[0].rope.scaling = model::RopeScaling::kLlama3;
    c.decoder.kinds[0].rope.factor = 8;
    c.decoder.kinds[0].rope.original_context = 128;
  });
  add("yarn", small_config(), [](DrafterConfig& c) {
    c.decoder.kinds[0].rope.scaling = model::RopeScaling::kYarn;
    c.decoder.kinds[0].rope.factor = 2;
    c.decoder.kinds[0].rope.original_context = 256;
    c.decoder.kinds[0].rope.attention_factor = 1.25;
  });
  add("divisors", small_config(),
      [](DrafterConfig& c) { c.decoder.kinds[0].rope.frequency_divisors.assign(16, 1.5); });
  add("gemma4", small_gemma4(), [](DrafterConfig&) {});
  add("gemma4_own_values", small_gemma4(), [](DrafterConfig& c) {
    c.decoder.kinds[0].values_are_keys = false;
    c.decoder.kinds[0].rope.pairs = 0;
    c.decoder.logit_softcap = 0;
  });
  add("gemma4_eagle3", small_eagle3(), [](DrafterConfig& c) {
    c.decoder = small_gemma4().decoder;
    c.decoder.architecture = "Gemma4Eagle3Model";
    c.decoder.layers = 1;
    c.decoder.pairs_embedding = true;
  });
  return all;
}

TEST(RoundTrip, OwnFormKeepsEveryConfig) {
  for (const auto& [name, config] : all_configs()) {
    SCOPED_TRACE(name);
    const fs::path first = scratch() / (name + ".gguf"), second = scratch() / (name + "2.gguf");
    write_own(first, config);
    expect_same_config(opened(first).config(), config);
    expect_converted(first, second);
    EXPECT_TRUE(bytes_of(first) == bytes_of(second));
  }
}

TEST(RoundTrip, FixturesThroughOwnForm) {
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(fixture(""))) {
    if (!fs::exists(entry.path() / "draft/config.json")) continue;
    const std::string name = entry.path().filename();
    SCOPED_TRACE(name);
    const fs::path own = scratch() / (name + "-own.gguf"), back = scratch() / (name + "-back");
    expect_converted(entry.path() / "draft", own);
    expect_converted(own, back, {.layout = Layout::kDeepSpec});
    EXPECT_TRUE(bytes_of(back / "model.safetensors") ==
                bytes_of(entry.path() / "draft/model.safetensors"));
    expect_same_config(opened(back).config(), opened(entry.path() / "draft").config());
    expect_same_config(opened(own).config(), opened(entry.path() / "draft").config());
    ++seen;
  }
  EXPECT_GE(seen, 7);
}

TEST(RoundTrip, HalfPrecisionDirectories) {
  for (const DType type : {DType::kBF16, DType::kF16}) {
    const std::string name(dtype_info(type).name);
    SCOPED_TRACE(name);
    const fs::path half = scratch() / name, own = scratch() / (name + ".gguf"),
                   back = scratch() / (name + "-back");
    expect_converted(fixture("qwen3_dspark_gated") / "draft", half,
                     {.layout = Layout::kDeepSpec, .type = type});
    const DrafterFile file = opened(half);
    for (const TensorView& tensor : file.tensors()) EXPECT_EQ(tensor.type, type) << tensor.name;
    expect_converted(half, own);
    const DrafterFile ours = opened(own);
    for (const TensorView& tensor : ours.tensors())
      EXPECT_EQ(tensor.type == DType::kF32, tensor.rows() == 1) << tensor.name;
    expect_converted(own, back, {.layout = Layout::kDeepSpec});
    EXPECT_TRUE(bytes_of(half / "model.safetensors") == bytes_of(back / "model.safetensors"));
    EXPECT_TRUE(bytes_of(half / "config.json") == bytes_of(back / "config.json"));
  }
}

TEST(RoundTrip, EveryWeightType) {
  DrafterConfig config = small_config();
  config.decoder.hidden = 256;  // rows that K-quants can hold
  config.decoder.ffn = 512;
  config.decoder.heads = 8;
  config.markov_rank = 256;
  const fs::path plain = scratch() / "plain.gguf", out = scratch() / "typed.gguf";
  write_own(plain, config);
  const DrafterFile source = opened(plain);
  for (int i = 0; i <= static_cast<int>(DType::kQ6_K); ++i) {
    const auto type = static_cast<DType>(i);
    SCOPED_TRACE(dtype_info(type).name);
    expect_converted(plain, out, {.type = type});
    const DrafterFile typed = opened(out);
    expect_same_config(typed.config(), config);
    for (const TensorView& tensor : typed.tensors()) {
      const TensorView& from = *source.find(tensor.name);
      const bool matrix = tensor.rows() > 1;
      ASSERT_EQ(tensor.type, matrix ? type : DType::kF32) << tensor.name;
      const std::vector<float> values = values_of(from);
      std::string wanted(tensor.bytes, '\0');
      ASSERT_TRUE(quantise(tensor.type, values.data(), reinterpret_cast<uint8_t*>(wanted.data()),
                           values.size()));
      EXPECT_TRUE(wanted == std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes))
          << tensor.name;
    }
  }
}

TEST(RoundTrip, HeadAndMarkovHeadMayHaveTypesOfTheirOwn) {
  const fs::path plain = scratch() / "plain2.gguf", out = scratch() / "mixed.gguf";
  write_own(plain, small_config());
  expect_converted(plain, out,
                   {.type = DType::kQ8_0, .head_type = DType::kQ4_0, .markov_type = DType::kQ5_1});
  const DrafterFile file = opened(out);
  EXPECT_EQ(file.find("fc.weight")->type, DType::kQ8_0);
  EXPECT_EQ(file.find("lm_head.weight")->type, DType::kQ4_0);
  EXPECT_EQ(file.find("markov_head.markov_w2.weight")->type, DType::kQ5_1);
  EXPECT_EQ(file.find("confidence_head.proj.weight")->type, DType::kF32);
}

TEST(RoundTrip, RowsThatATypeCannotHoldStayAndAreSaid) {
  const fs::path out = scratch() / "kept.gguf";
  auto report = converted(fixture("qwen3_dspark_rnn") / "draft", out, {.type = DType::kQ8_0});
  ASSERT_TRUE(report.ok()) << report.message();
  ASSERT_EQ(report->notes.size(), 1u);
  EXPECT_NE(report->notes[0].find("stay f32"), std::string::npos) << report->notes[0];
  EXPECT_EQ(opened(out).find("fc.weight")->type, DType::kF32);
  EXPECT_EQ(opened(out).find("layers.0.self_attn.o_proj.weight")->type, DType::kQ8_0);
}

TEST(RoundTrip, SharedTensorsAreLeftOut) {
  const fs::path out = scratch() / "shared.gguf";
  expect_converted(fixture("qwen3_dspark_vanilla") / "draft", out, {.share = true});
  const DrafterFile file = opened(out);
  EXPECT_EQ(file.find("embed_tokens.weight"), nullptr);
  EXPECT_EQ(file.find("lm_head.weight"), nullptr);
  EXPECT_EQ(file.tensors().size(), 29u);
}

TEST(RoundTrip, AFailedConversionLeavesNothing) {
  const ScratchFolder folder;
  GgufParts parts = [&] {
    write_own(folder / "in.gguf", small_config());
    return GgufParts(folder / "in.gguf");
  }();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  parts.tensors["fc.weight"].data.replace(40, 4, reinterpret_cast<const char*>(&nan), 4);
  parts.write(folder / "in.gguf");
  for (const auto& [out, options] :
       {std::pair<std::string, WriteOptions>{"out.gguf", {.type = DType::kQ8_0}},
        {"out", {.layout = Layout::kDeepSpec, .type = DType::kBF16}}}) {
    auto report = converted(folder / "in.gguf", folder / out, options);
    ASSERT_FALSE(report.ok()) << out;
    EXPECT_NE(report.message().find("fc.weight: a value is not finite"), std::string::npos)
        << report.message();
  }
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(RoundTrip, ADirectoryIsNeverWrittenOver) {
  const ScratchFolder folder;
  folder.write("config.json", "{}");
  auto report =
      converted(fixture("qwen3_dflash") / "draft", folder.path(), {.layout = Layout::kDeepSpec});
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.message().find("exists already"), std::string::npos);
}

}  // namespace
}  // namespace dspark::draft

// What a form needs from the target, and which target a drafter fits.
#include <gtest/gtest.h>

#include "draft/support.h"

namespace dspark::draft {
namespace {

namespace fs = std::filesystem;

// The target of the vanilla fixture (4 layers, width 64, 512 tokens), with a tokenizer's keys
// beside it as a GGUF file would have them.
class WithTarget : public testing::Test {
 protected:
  void SetUp() override {
    auto weights = model::WeightFile::open(fixture("qwen3_dspark_vanilla") / "target");
    ASSERT_TRUE(weights.ok()) << weights.message();
    weights_ = std::make_unique<model::WeightFile>(weights.take());
    write_tokenizer(512);
  }

  void write_tokenizer(size_t tokens) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < tokens; ++i) texts.push_back(fmt::format("t{}", i));
    formats::GgufWriter writer(scratch_ / "target.gguf");
    writer.set("general.architecture", std::string("qwen3"));
    writer.set("tokenizer.ggml.model", std::string("gpt2"));
    writer.set("tokenizer.ggml.tokens", formats::GgufArray{texts});
    writer.set("tokenizer.ggml.eos_token_id", uint64_t{3});
    ASSERT_TRUE(writer.begin().ok() && writer.finish().ok());
    auto gguf = formats::GgufFile::open(scratch_ / "target.gguf");
    ASSERT_TRUE(gguf.ok()) << gguf.message();
    gguf_ = std::make_unique<formats::GgufFile>(gguf.take());
  }

  WriteOptions to(Layout layout) const {
    WriteOptions options;
    options.layout = layout;
    options.target = weights_.get();
    options.target_gguf = gguf_.get();
    return options;
  }

  // For that target.
  static DrafterConfig config() {
    DrafterConfig c = small_config();
    c.decoder.vocab = c.draft_vocab = 512;
    c.mask_token_id = 511;
    c.target_layers = 4;
    c.target_layer_ids = {-1, 0, 2};
    return c;
  }
  static DrafterConfig with_draft_vocabulary() {
    DrafterConfig c = config();
    c.d2t = {3, 100, 200, 511};
    c.draft_vocab = 4;
    return c;
  }

  void expect_error(const Result<WriteReport>& report, const std::string& part) {
    ASSERT_FALSE(report.ok()) << part;
    EXPECT_NE(report.message().find(part), std::string::npos) << report.message();
  }

  ScratchFolder scratch_;
  const fs::path in_ = scratch_ / "in.gguf", out_ = scratch_ / "out.gguf",
                 back_ = scratch_ / "back.gguf", folder_ = scratch_ / "folder";
  std::unique_ptr<model::WeightFile> weights_;
  std::unique_ptr<formats::GgufFile> gguf_;
};

TEST_F(WithTarget, ADraftVocabularyIsExpandedForDeepSpec) {
  write_own(in_, with_draft_vocabulary());
  expect_error(converted(in_, folder_, {.layout = Layout::kDeepSpec}), "--target");
  expect_converted(in_, folder_, to(Layout::kDeepSpec));
  const DrafterFile own = opened(in_), expanded = opened(folder_);
  EXPECT_EQ(expanded.config().draft_vocab, 512);
  EXPECT_TRUE(expanded.config().d2t.empty());
  const auto own_head = values_of(*own.find("lm_head.weight")),
             own_w2 = values_of(*own.find("markov_head.markov_w2.weight")),
             head = values_of(*expanded.find("lm_head.weight")),
             w2 = values_of(*expanded.find("markov_head.markov_w2.weight"));
  const auto target = values_of(**weights_->find(
      weights_->spec().tied_head ? model::Part::kEmbedding : model::Part::kHead, 0, {512, 64}));
  const std::vector<int32_t>& d2t = own.config().d2t;
  for (int32_t id = 0; id < 512; ++id) {
    const auto at = std::find(d2t.begin(), d2t.end(), id);
    const auto row = static_cast<size_t>(at - d2t.begin()), i = static_cast<size_t>(id);
    const float* wanted = at == d2t.end() ? &target[i * 64] : &own_head[row * 64];
    EXPECT_TRUE(std::equal(wanted, wanted + 64, &head[i * 64])) << id;
    const std::vector<float> zeros(32, 0.0f);
    const float* bias = at == d2t.end() ? zeros.data() : &own_w2[row * 32];
    EXPECT_TRUE(std::equal(bias, bias + 32, &w2[i * 32])) << id;
  }
}

TEST_F(WithTarget, AVocabularyCanBeCutToADraftVocabulary) {
  write_own(in_, config());
  expect_converted(in_, out_, {.draft_ids = {511, 100, 3, 200, 100}});
  const DrafterFile whole = opened(in_), cut = opened(out_);
  EXPECT_EQ(cut.config().d2t, with_draft_vocabulary().d2t);
  for (const char* name : {"lm_head.weight", "markov_head.markov_w2.weight"}) {
    const auto all = values_of(*whole.find(name)), some = values_of(*cut.find(name));
    const auto width = static_cast<size_t>(cut.find(name)->columns());
    ASSERT_EQ(some.size(), 4 * width);
    for (size_t row = 0; row < 4; ++row) {
      const auto id = static_cast<size_t>(cut.config().d2t[row]);
      EXPECT_TRUE(std::equal(&all[id * width], &all[id * width] + width, &some[row * width]))
          << name << ' ' << id;
    }
  }
  EXPECT_EQ(cut.find("markov_head.markov_w1.weight")->shape, (std::vector<int64_t>{512, 32}));
  // Again, to a part of it; and not to more.
  expect_converted(out_, back_, {.draft_ids = {3, 511}});
  EXPECT_EQ(opened(back_).config().d2t, (std::vector<int32_t>{3, 511}));
  expect_error(converted(out_, back_, {.draft_ids = {3, 4}}), "token 4 is none that it drafts");
  expect_error(converted(in_, back_, {.draft_ids = {512}}), "token 512 is none that it drafts");
  expect_error(converted(in_, folder_, {.layout = Layout::kDeepSpec, .draft_ids = {3}}),
               "no place for a draft vocabulary");
}

TEST_F(WithTarget, QuantisedBecomesBf16ForDeepSpec) {
  write_own(in_, config(), {.type = DType::kQ8_0});
  expect_converted(in_, folder_, {.layout = Layout::kDeepSpec});
  const DrafterFile own = opened(in_), expanded = opened(folder_);
  for (const TensorView& tensor : expanded.tensors()) {
    EXPECT_EQ(tensor.type, DType::kBF16) << tensor.name;
    std::vector<float> wanted = values_of(*own.find(tensor.name));
    for (float& value : wanted) value = bf16_to_f32(f32_to_bf16(value));
    EXPECT_TRUE(values_of(tensor) == wanted) << tensor.name;
  }
  EXPECT_NE(bytes_of(folder_ / "config.json").find("\"bfloat16\""), std::string::npos);
  expect_error(converted(in_, scratch_ / "x", {.layout = Layout::kDeepSpec, .type = DType::kQ4_0}),
               "safetensors hold f32, f16 or bf16");
}

TEST_F(WithTarget, EmbeddingAndHeadComeFromTheTarget) {
  write_own(in_, config(), {.embedding = false, .head = false});
  expect_error(converted(in_, folder_, {.layout = Layout::kDeepSpec}), "embedding from its target");
  expect_converted(in_, folder_, to(Layout::kDeepSpec));
  const DrafterFile expanded = opened(folder_);
  const auto embedding = values_of(**weights_->find(model::Part::kEmbedding, 0, {512, 64}));
  EXPECT_TRUE(values_of(*expanded.find("embed_tokens.weight")) == embedding);
  ASSERT_NE(expanded.find("lm_head.weight"), nullptr);
}

TEST_F(WithTarget, LlamaCppHoldsAVanillaDrafter) {
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    SCOPED_TRACE(dtype_info(type).name);
    write_own(in_, config(), {.type = type});
    expect_converted(in_, out_, to(Layout::kLlamaCpp));
    const DrafterFile file = opened(out_);
    DrafterConfig wanted = config();
    wanted.target_layers = 0;  // not stored there
    expect_same_config(file.config(), wanted);
    expect_converted(out_, back_, to(Layout::kDspark));
    EXPECT_TRUE(bytes_of(in_) == bytes_of(back_));
  }
  GgufParts parts(out_);
  EXPECT_EQ(std::get<std::string>(parts.keys.at("general.architecture")), "dflash");
  EXPECT_EQ(std::get<uint64_t>(parts.keys.at("tokenizer.ggml.mask_token_id")), 511u);
  EXPECT_EQ(std::get<uint64_t>(parts.keys.at("tokenizer.ggml.eos_token_id")), 3u);
  EXPECT_EQ(std::get<std::vector<uint64_t>>(
                std::get<formats::GgufArray>(parts.keys.at("dflash.target_layers")).items),
            (std::vector<uint64_t>{0, 1, 3}));
}

TEST_F(WithTarget, LlamaCppHoldsADraftVocabularyWithItsHead) {
  write_own(in_, with_draft_vocabulary());
  expect_converted(in_, out_, to(Layout::kLlamaCpp));
  EXPECT_EQ(opened(out_).config().d2t, with_draft_vocabulary().d2t);
  expect_converted(out_, back_, to(Layout::kDspark));
  EXPECT_TRUE(bytes_of(in_) == bytes_of(back_));
  // A head that the drafter leaves to the target is spelled out: its rows of the draft vocabulary.
  write_own(in_, with_draft_vocabulary(), {.head = false});
  expect_converted(in_, out_, to(Layout::kLlamaCpp));
  EXPECT_EQ(opened(out_).find("lm_head.weight")->shape, (std::vector<int64_t>{4, 64}));
}

TEST_F(WithTarget, LlamaCppGetsLlama3sScalingAsDivisors) {
  DrafterConfig c = config();
  model::Rope& rope = c.decoder.kinds[0].rope;
  rope.scaling = model::RopeScaling::kLlama3;
  rope.factor = 8;
  rope.original_context = 128;
  write_own(in_, c);
  expect_converted(in_, out_, to(Layout::kLlamaCpp));
  const model::Rope theirs = opened(out_).config().decoder.kinds[0].rope;
  EXPECT_EQ(theirs.scaling, model::RopeScaling::kNone);
  float amplitude = 0;
  const auto wanted = model::rope_frequencies(rope, &amplitude),
             found = model::rope_frequencies(theirs, &amplitude);
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(found[i] / wanted[i], 1, 1e-6) << i;
}

TEST_F(WithTarget, LlamaCppPairsRowsOfEagle3) {
  DrafterConfig c = small_eagle3();
  c.decoder.vocab = c.draft_vocab = 512;
  c.decoder.qk_norm = false;
  c.target_layers = 4;
  c.target_layer_ids = {0, 1, 2};
  c.ttt_length = 7;
  write_own(in_, c);
  expect_converted(in_, out_, to(Layout::kLlamaCpp));
  const DrafterFile own = opened(in_), theirs = opened(out_);
  EXPECT_TRUE(theirs.config().decoder.interleaved_rope);
  const auto a = values_of(*own.find("layers.0.self_attn.q_proj.weight")),
             b = values_of(*theirs.find("layers.0.self_attn.q_proj.weight"));
  for (const auto& [ours, paired] : {std::pair<size_t, size_t>{0, 0}, {16, 1}, {1, 2}, {32, 32}})
    EXPECT_TRUE(std::equal(&a[ours * 128], &a[ours * 128] + 128, &b[paired * 128])) << ours;
  expect_converted(out_, back_, to(Layout::kDspark));
  EXPECT_TRUE(bytes_of(in_) == bytes_of(back_));
}

TEST_F(WithTarget, LlamaCppRefusesByName) {
  const auto refused = [&](const char* part, auto change) {
    DrafterConfig c = config();
    change(c);
    write_own(in_, c);
    expect_error(converted(in_, out_, to(Layout::kLlamaCpp)), part);
  };
  refused("no place for the gated Markov head",
          [](DrafterConfig& c) { c.markov_head = MarkovHead::kGated; });
  refused("no place for the rnn Markov head",
          [](DrafterConfig& c) { c.markov_head = MarkovHead::kRnn; });
  refused("no place for a confidence head that does not read the Markov head",
          [](DrafterConfig& c) { c.confidence_with_markov = false; });
  refused("no place for Gemma 4's draft layers", [](DrafterConfig& c) {
    const int vocab = c.decoder.vocab;
    c.decoder = small_gemma4().decoder;
    c.decoder.vocab = vocab;
  });
  refused("no place for biases of the attention",
          [](DrafterConfig& c) { c.decoder.qkv_bias = c.decoder.output_bias = true; });
  const auto eagle3 = [](DrafterConfig& c) {
    const model::Spec target = c.decoder;
    c = small_eagle3();
    c.decoder.vocab = c.draft_vocab = target.vocab;
    c.target_layers = 4;
    c.target_layer_ids = {0, 1};
  };
  refused("no place for an Eagle3 drafter with normalised queries", eagle3);
  refused("no place for an Eagle3 drafter of 2 taps", [&](DrafterConfig& c) {
    eagle3(c);
    c.decoder.qk_norm = false;
  });
  write_own(in_, config());
  expect_error(converted(in_, out_, {.layout = Layout::kLlamaCpp}), "--target");
  write_tokenizer(500);
  expect_error(converted(in_, out_, to(Layout::kLlamaCpp)),
               "tokenizer.ggml.tokens: 500 items, expected the drafter's 512");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(WithTarget, DeepSpecRefusesByName) {
  const auto refused = [&](const char* part, auto change) {
    DrafterConfig c = config();
    change(c);
    write_own(in_, c);
    expect_error(converted(in_, folder_, {.layout = Layout::kDeepSpec}), part);
  };
  refused("without normalised queries", [](DrafterConfig& c) { c.decoder.qk_norm = false; });
  refused("RoPE frequencies of their own",
          [](DrafterConfig& c) { c.decoder.kinds[0].rope.frequency_divisors.assign(16, 2.0); });
  refused("how many layers its target has", [](DrafterConfig& c) { c.target_layers = 0; });
}

TEST_F(WithTarget, SaysWhatDoesNotFit) {
  const model::Spec target = weights_->spec();
  DrafterConfig drafter = config();
  drafter.name = "d.gguf";
  EXPECT_TRUE(check_fits(drafter, target, "").ok());
  const auto differs = [&](const char* part, auto change, std::string_view fingerprint = "f2") {
    DrafterConfig c = drafter;
    change(c);
    const Status status = check_fits(c, target, fingerprint);
    ASSERT_FALSE(status.ok()) << part;
    EXPECT_TRUE(status.error().message.starts_with("d.gguf: ")) << status.error().message;
    EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
  };
  differs("hidden size 128, this one's is 64", [](DrafterConfig& c) { c.decoder.hidden = 128; });
  differs("vocabulary size 513, this one's is 512",
          [](DrafterConfig& c) { c.decoder.vocab = 513; });
  differs("number of layers 36, this one's is 4", [](DrafterConfig& c) { c.target_layers = 36; });
  differs("it taps layer 3, this one has 4 layers", [](DrafterConfig& c) {
    c.target_layers = 0;
    c.target_layer_ids = {0, 3};
  });
  differs("tokenizer f1, this one's is f2",
          [](DrafterConfig& c) { c.tokenizer_fingerprint = "f1"; });
  differs("hidden size 32, this one's is 64; vocabulary size 7, this one's is 512",
          [](DrafterConfig& c) { c.decoder.hidden = 32, c.decoder.vocab = 7; });
  drafter.tokenizer_fingerprint = "f1";
  EXPECT_TRUE(check_fits(drafter, target, "f1").ok());
  EXPECT_TRUE(check_fits(drafter, target, "").ok());
  write_own(in_, [] {
    DrafterConfig c = config();
    c.decoder.vocab = c.draft_vocab = 600;
    return c;
  }());
  expect_error(converted(in_, out_, to(Layout::kDspark)), "vocabulary size 600");
}

}  // namespace
}  // namespace dspark::draft

// Gemma 4 from GGUF: the fixture written in that form gives the same bits as its Hugging Face
// directory, and metadata that do not fit are refused.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <functional>

#include "model/model.h"

namespace dspark::model {
namespace {

namespace fs = std::filesystem;
using formats::GgufArray;
using formats::GgufValue;

fs::path target() { return fs::path(DSPARK_SOURCE_DIR) / "tests/fixtures/gemma4_eagle3/target"; }

// By the places of the layers' kinds: full where i % 3 == 2.
constexpr int kLayers = 6;

std::map<std::string, GgufValue> metadata() {
  std::vector<bool> slides;
  std::vector<uint64_t> kv_heads;
  for (int l = 0; l < kLayers; ++l) {
    slides.push_back(l % 3 != 2);
    kv_heads.push_back(slides.back() ? 2 : 1);
  }
  const auto count = [](int value) { return GgufValue(static_cast<uint64_t>(value)); };
  return {{"general.architecture", std::string("gemma4")},
          {"gemma4.block_count", count(kLayers)},
          {"gemma4.context_length", count(512)},
          {"gemma4.embedding_length", count(64)},
          {"gemma4.feed_forward_length", count(64)},
          {"gemma4.embedding_length_per_layer_input", count(0)},
          {"gemma4.attention.head_count", count(4)},
          {"gemma4.attention.head_count_kv", GgufArray{kv_heads}},
          {"gemma4.attention.key_length", count(24)},
          {"gemma4.attention.value_length", count(24)},
          {"gemma4.attention.key_length_swa", count(16)},
          {"gemma4.attention.value_length_swa", count(16)},
          {"gemma4.attention.sliding_window", count(8)},
          {"gemma4.attention.sliding_window_pattern", GgufArray{slides}},
          {"gemma4.attention.shared_kv_layers", count(0)},
          {"gemma4.attention.layer_norm_rms_epsilon", 1e-6},
          {"gemma4.rope.freq_base", 1e6},
          {"gemma4.rope.freq_base_swa", 1e4},
          {"gemma4.rope.dimension_count", count(24)},
          {"gemma4.rope.dimension_count_swa", count(16)},
          {"gemma4.final_logit_softcapping", 12.0}};
}

std::string gguf_name(std::string name) {
  const std::pair<const char*, const char*> parts[] = {
      {"model.layers.", "blk."},
      {"model.embed_tokens", "token_embd"},
      {"model.norm", "output_norm"},
      {"input_layernorm", "attn_norm"},
      {"post_attention_layernorm", "post_attention_norm"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"layer_scalar", "layer_output_scale.weight"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
  };
  for (const auto& [hf, gguf] : parts)
    if (const size_t at = name.find(hf); at != std::string::npos)
      name.replace(at, std::strlen(hf), gguf);
  return name;
}

// The fixture as GGUF; removed with the object.
class Written {
 public:
  Written(const std::map<std::string, GgufValue>& keys, std::vector<float> divisors)
      : path_(fs::temp_directory_path() / fmt::format("dspark-gemma4-{}.gguf", ::getpid())) {
    const auto tensors = formats::Safetensors::open_directory(target());
    CHECK(tensors.ok());
    formats::GgufWriter writer(path_);
    for (const auto& [key, value] : keys) writer.set(key, value);
    writer.declare("rope_freqs.weight", DType::kF32, {static_cast<int64_t>(divisors.size())});
    for (const TensorView& t : tensors.value().tensors())
      writer.declare(gguf_name(t.name), t.type, t.shape);
    CHECK(writer.begin().ok());
    CHECK(writer.write_tensor(divisors.data(), divisors.size() * sizeof(float)).ok());
    for (const TensorView& t : tensors.value().tensors())
      CHECK(writer.write_tensor(t.data, t.bytes).ok());
    CHECK(writer.finish().ok());
  }
  ~Written() { fs::remove(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Of 12 pairs the first three turn.
std::vector<float> divisors() {
  std::vector<float> values(12, 1e30f);
  values[0] = values[1] = values[2] = 1;
  return values;
}

std::vector<float> logits(const fs::path& path) {
  ThreadPool pool(2);
  auto loaded = load_model(path, {}, pool);
  CHECK(loaded.ok(), "{}", loaded.message());
  const std::unique_ptr<Model> model = loaded.take();
  kv::PagePool pages(kv::Shape(model->cache_layers()), 2);
  constexpr int kRows = 40;
  Forward forward(*model, *compute::kernels("auto"), pool, pages, {kRows, kRows, 128});
  kv::Sequence sequence(pages);
  CHECK(sequence.reserve(kRows));
  std::vector<int32_t> ids, rows;
  for (int i = 0; i < kRows; ++i) {
    ids.push_back((i * 37 + 11) % 256);
    rows.push_back(i);
  }
  const Segment segment{&sequence, 0, kRows, 0};
  forward.run({ids, {&segment, 1}, rows, {}, nullptr});
  std::vector<float> all;
  for (int i = 0; i < kRows; ++i)
    all.insert(all.end(), forward.logits(i).begin(), forward.logits(i).end());
  return all;
}

TEST(Gemma4Gguf, GivesTheSameBitsAsTheDirectory) {
  const Written file(metadata(), divisors());
  const std::vector<float> got = logits(file.path()), expected = logits(target());
  ASSERT_EQ(got.size(), expected.size());
  EXPECT_EQ(0, std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)));
}

TEST(Gemma4Gguf, RefusesWhatDoesNotFit) {
  using Keys = std::map<std::string, GgufValue>;
  const auto count = [](int value) { return GgufValue(static_cast<uint64_t>(value)); };
  const struct {
    std::function<void(Keys&)> change;
    const char* message;
  } cases[] = {
      {[&](Keys& k) { k["gemma4.expert_count"] = count(8); },
       "key gemma4.expert_count: 8: mixture-of-experts layers"},
      {[&](Keys& k) { k["gemma4.embedding_length_per_layer_input"] = count(256); },
       "key gemma4.embedding_length_per_layer_input: 256"},
      {[&](Keys& k) { k["gemma4.attention.shared_kv_layers"] = count(3); },
       "key gemma4.attention.shared_kv_layers: 3"},
      {[&](Keys& k) { k["gemma4.rope.scaling.type"] = std::string("yarn"); },
       "key gemma4.rope.scaling.type: \"yarn\""},
      {[&](Keys& k) { k["gemma4.block_count"] = count(0); }, "key gemma4.block_count: 0"},
      {[&](Keys& k) { k["gemma4.block_count"] = count(5); },
       "key gemma4.attention.sliding_window_pattern: 6 values, expected 5"},
      {[&](Keys& k) { k.erase("gemma4.attention.sliding_window_pattern"); },
       "gemma4.attention.sliding_window_pattern' is missing"},
      {[&](Keys& k) { k["gemma4.attention.sliding_window_pattern"] = count(6); },
       "expected an array of booleans, found an integer"},
      {[&](Keys& k) { k["gemma4.attention.sliding_window"] = count(0); },
       "key gemma4.attention.sliding_window: 0"},
      {[&](Keys& k) {
         k["gemma4.feed_forward_length"] =
             GgufArray{std::vector<uint64_t>{64, 64, 64, 64, 64, 128}};
       },
       "key gemma4.feed_forward_length: 64 and 128 in layers of one kind"},
      {[&](Keys& k) {
         k["gemma4.attention.head_count_kv"] = GgufArray{std::vector<uint64_t>{2, 2, 1}};
       },
       "key gemma4.attention.head_count_kv: 3 values, expected 6"},
      {[&](Keys& k) { k["gemma4.attention.head_count_kv"] = count(3); },
       "4 query heads are no multiple of 3 key/value heads"},
      {[&](Keys& k) { k["gemma4.attention.value_length"] = count(16); },
       "key gemma4.attention.value_length: 16 differs from the key length 24"},
      {[&](Keys& k) { k["gemma4.rope.dimension_count"] = count(20); },
       "tensor rope_freqs.weight: expected 10 float values"},
      {[&](Keys& k) { k["gemma4.rope.dimension_count_swa"] = count(17); }, "17 rotated dimensions"},
  };
  for (const auto& c : cases) {
    Keys keys = metadata();
    c.change(keys);
    const Written file(keys, divisors());
    const auto opened = WeightFile::open(file.path());
    ASSERT_FALSE(opened.ok()) << c.message;
    EXPECT_NE(opened.message().find(c.message), std::string::npos) << opened.message();
  }
  for (const std::vector<float>& bad :
       {std::vector<float>(12, 1e30f), std::vector<float>(12, 0.5f)}) {
    const Written file(metadata(), bad);
    const auto opened = WeightFile::open(file.path());
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.message().find("expected ones, then values above"), std::string::npos);
  }
}

}  // namespace
}  // namespace dspark::model

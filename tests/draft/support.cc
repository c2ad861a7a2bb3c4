#include "draft/support.h"

#include "draft/config_json.h"
#include "draft/dspark_keys.h"
#include "draft/tensor_table.h"

namespace dspark::draft {

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/fixtures" / name;
}

DrafterFile opened(const std::filesystem::path& path) {
  auto file = DrafterFile::open(path);
  CHECK(file.ok(), "{}", file.message());
  return file.take();
}

DrafterConfig small_config() {
  DrafterConfig c;
  model::Spec& s = c.decoder;
  s.family = model::Family::kQwen3;
  s.architecture = "Qwen3DSparkModel";
  s.layers = 2;
  s.hidden = 64;
  s.ffn = 96;
  s.heads = 4;
  s.kinds[0].kv_heads = 2;
  s.kinds[0].head_dim = 32;
  s.vocab = 96;
  s.context = 512;
  s.norm_eps = 1e-6f;
  s.qk_norm = true;
  s.kinds[0].rope.dim = 32;
  c.target_layers = 5;
  c.target_layer_ids = {-1, 0, 3};
  c.block_size = 4;
  c.mask_token_id = 95;
  c.markov_rank = 32;
  c.markov_head = MarkovHead::kVanilla;
  c.confidence_head = c.confidence_with_markov = true;
  c.draft_vocab = 96;
  return c;
}

DrafterConfig small_eagle3() {
  DrafterConfig c = small_config();
  c.kind = Kind::kEagle3;
  c.decoder.architecture = "Qwen3Eagle3Model";
  c.decoder.layers = 1;
  c.decoder.pairs_embedding = true;
  c.target_layers = 7;
  c.target_layer_ids = {0, 1, 2, 3, 4};
  c.block_size = 0;
  c.mask_token_id = -1;
  c.markov_rank = 0;
  c.markov_head = MarkovHead::kNone;
  c.confidence_head = c.confidence_with_markov = false;
  c.ttt_length = 5;
  return c;
}

DrafterConfig small_gemma4() {
  DrafterConfig c = small_config();
  model::Spec& s = c.decoder;
  s.family = model::Family::kGemma4;
  s.architecture = "Gemma4DSparkModel";
  s.activation = model::Activation::kGeluTanh;
  s.value_norm = s.sandwich_norms = s.scaled_embedding = true;
  s.logit_softcap = 30;
  s.kinds[0].scale = 1;
  s.kinds[0].kv_heads = 1;
  s.kinds[0].values_are_keys = true;
  s.kinds[0].rope.pairs = 5;
  return c;
}

void write_own(const std::filesystem::path& path, const DrafterConfig& config, Content content) {
  formats::GgufWriter writer(path);
  set_dspark_keys(config, writer);
  const std::vector<float> divisors(config.decoder.kinds[0].rope.frequency_divisors.begin(),
                                    config.decoder.kinds[0].rope.frequency_divisors.end());
  if (!config.d2t.empty()) writer.declare(kD2tTensor, DType::kI32, {config.draft_vocab});
  if (!divisors.empty())
    writer.declare(kRopeFreqsTensor, DType::kF32, {static_cast<int64_t>(divisors.size())});
  std::vector<TensorSlot> slots;
  for (const TensorSlot& slot : tensor_table(config))
    if ((content.embedding || slot.name != "embed_tokens.weight") &&
        (content.head || slot.name != "lm_head.weight"))
      slots.push_back(slot);
  const auto type_of = [&](const TensorSlot& slot) {
    return slot.is_matrix ? content.type : DType::kF32;
  };
  for (const TensorSlot& slot : slots) writer.declare(slot.gguf_name, type_of(slot), slot.shape);
  ASSERT_TRUE(writer.begin().ok());
  if (!config.d2t.empty()) {
    ASSERT_TRUE(writer.write_tensor(config.d2t.data(), config.d2t.size() * 4).ok());
  }
  if (!divisors.empty()) {
    ASSERT_TRUE(writer.write_tensor(divisors.data(), divisors.size() * 4).ok());
  }
  uint32_t state = 1;
  for (const TensorSlot& slot : slots) {
    size_t count = 1;
    for (const int64_t extent : slot.shape) count *= static_cast<size_t>(extent);
    std::vector<float> values(count);
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = bf16_to_f32(f32_to_bf16(static_cast<float>(state >> 8) * 0x1p-25f - 0.25f));
    }
    std::vector<uint8_t> bytes(dtype_bytes(type_of(slot), count));
    ASSERT_TRUE(quantise(type_of(slot), values.data(), bytes.data(), count));
    ASSERT_TRUE(writer.write_tensor(bytes.data(), bytes.size()).ok());
  }
  ASSERT_TRUE(writer.finish().ok());
}

void expect_same_config(const DrafterConfig& a, const DrafterConfig& b) {
  EXPECT_EQ(config_to_json(a), config_to_json(b));
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.draft_vocab, b.draft_vocab);
  EXPECT_EQ(a.d2t, b.d2t);
  EXPECT_EQ(a.decoder.pairs_embedding, b.decoder.pairs_embedding);
  EXPECT_EQ(a.decoder.interleaved_rope, b.decoder.interleaved_rope);
  EXPECT_EQ(a.decoder.family, b.decoder.family);
  EXPECT_EQ(a.decoder.kinds[0].rope.dim, b.decoder.kinds[0].rope.dim);
  EXPECT_EQ(a.decoder.kinds[0].rope.pairs, b.decoder.kinds[0].rope.pairs);
  EXPECT_EQ(a.decoder.kinds[0].rope.frequency_divisors, b.decoder.kinds[0].rope.frequency_divisors);
}

std::string bytes_of(const std::filesystem::path& file) {
  auto text = read_file(file, size_t{1} << 30);
  CHECK(text.ok(), "{}", text.message());
  return text.take();
}

std::vector<float> values_of(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.values()));
  dequantise(tensor.type, tensor.data, values.data(), values.size());
  return values;
}

Result<WriteReport> converted(const std::filesystem::path& in, const std::filesystem::path& out,
                              const WriteOptions& options) {
  ThreadPool pool(1);
  DSPARK_TRY(const auto file, DrafterFile::open(in));
  return write_drafter(file, out, options, pool);
}

void expect_converted(const std::filesystem::path& in, const std::filesystem::path& out,
                      const WriteOptions& options) {
  const auto report = converted(in, out, options);
  ASSERT_TRUE(report.ok()) << report.message();
}

GgufParts::GgufParts(const std::filesystem::path& file) {
  auto gguf = formats::GgufFile::open(file);
  CHECK(gguf.ok(), "{}", gguf.message());
  for (const auto& [key, value] : gguf->metadata()) keys[key] = value;
  for (const TensorView& tensor : gguf->tensors())
    tensors[tensor.name] = {tensor.type, tensor.shape,
                            std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes)};
}

void GgufParts::write(const std::filesystem::path& file) const {
  formats::GgufWriter writer(file);
  for (const auto& [key, value] : keys) writer.set(key, value);
  for (const auto& [name, tensor] : tensors) writer.declare(name, tensor.type, tensor.shape);
  ASSERT_TRUE(writer.begin().ok());
  for (const auto& [name, tensor] : tensors)
    ASSERT_TRUE(writer.write_tensor(tensor.data.data(), tensor.data.size()).ok()) << name;
  ASSERT_TRUE(writer.finish().ok());
}

void expect_refused(const std::filesystem::path& path, const std::string& part) {
  const auto file = DrafterFile::open(path);
  ASSERT_FALSE(file.ok()) << part;
  EXPECT_TRUE(file.message().starts_with(path.string())) << file.message();
  EXPECT_NE(file.message().find(part), std::string::npos) << file.message();
}

}  // namespace dspark::draft

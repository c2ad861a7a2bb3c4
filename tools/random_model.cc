// Writes a model of a public shape with random weights, for speed measurements and tests that need
// no trained model: memory traffic and arithmetic are those of the real one.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "formats/formats.h"
#include "random_blocks.h"
#include "random_vocabulary.h"

namespace dspark {
namespace {

struct Shape {
  const char* name;
  int64_t hidden, feed_forward, layers, heads, kv_heads, head_size, vocabulary, context;
};

// All of the qwen3 family, the output head tied to the embedding.
constexpr Shape kShapes[] = {
    {"tiny", 256, 512, 2, 4, 2, 64, 512, 2048},
    {"qwen3-0.6b", 1024, 3072, 28, 16, 8, 128, 151936, 40960},
    {"qwen3-1.7b", 2048, 6144, 28, 16, 8, 128, 151936, 40960},
    {"qwen3-4b", 2560, 9728, 36, 32, 8, 128, 151936, 40960},
};
constexpr double kRopeBase = 1e6, kNormEpsilon = 1e-6;

struct Tensor {
  std::string name;
  DType type;
  std::vector<int64_t> shape;  // [outputs, inputs]; one dimension is a norm's weight
};

std::vector<Tensor> tensors_of(const Shape& shape, DType type) {
  const int64_t queries = shape.heads * shape.head_size, keys = shape.kv_heads * shape.head_size;
  std::vector<Tensor> tensors = {
      {"token_embd.weight", type, {shape.vocabulary, shape.hidden}},
      {"output_norm.weight", DType::kF32, {shape.hidden}},
  };
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const auto add = [&](const char* name, DType of, std::vector<int64_t> dimensions) {
      tensors.push_back({fmt::format("blk.{}.{}.weight", layer, name), of, std::move(dimensions)});
    };
    add("attn_norm", DType::kF32, {shape.hidden});
    add("attn_q", type, {queries, shape.hidden});
    add("attn_k", type, {keys, shape.hidden});
    add("attn_v", type, {keys, shape.hidden});
    add("attn_q_norm", DType::kF32, {shape.head_size});
    add("attn_k_norm", DType::kF32, {shape.head_size});
    add("attn_output", type, {shape.hidden, queries});
    add("ffn_norm", DType::kF32, {shape.hidden});
    add("ffn_gate", type, {shape.feed_forward, shape.hidden});
    add("ffn_up", type, {shape.feed_forward, shape.hidden});
    add("ffn_down", type, {shape.hidden, shape.feed_forward});
  }
  return tensors;
}

// The number that GGUF's general.file_type gives to a model mostly of this type.
uint64_t file_type(DType type) {
  switch (type) {
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ8_0:
      return 7;
    case DType::kQ5_0:
      return 8;
    case DType::kQ5_1:
      return 9;
    case DType::kQ4_K:
      return 15;
    case DType::kQ5_K:
      return 17;
    case DType::kQ6_K:
      return 18;
    case DType::kBF16:
      return 32;
    default:
      return 0;
  }
}

void set_metadata(const Shape& shape, DType type, formats::GgufWriter& writer) {
  const auto count = [&](const char* key, int64_t value) {
    writer.set(key, static_cast<uint64_t>(value));
  };
  writer.set("general.architecture", std::string("qwen3"));
  writer.set("general.name", fmt::format("{} with random weights", shape.name));
  writer.set("general.file_type", file_type(type));
  writer.set("general.quantization_version", uint64_t{2});
  count("qwen3.block_count", shape.layers);
  count("qwen3.context_length", shape.context);
  count("qwen3.embedding_length", shape.hidden);
  count("qwen3.feed_forward_length", shape.feed_forward);
  count("qwen3.attention.head_count", shape.heads);
  count("qwen3.attention.head_count_kv", shape.kv_heads);
  count("qwen3.attention.key_length", shape.head_size);
  count("qwen3.attention.value_length", shape.head_size);
  writer.set("qwen3.attention.layer_norm_rms_epsilon", kNormEpsilon);
  writer.set("qwen3.rope.freq_base", kRopeBase);
  set_vocabulary(shape.vocabulary, writer);
}

// In parts, so that memory stays small whatever the tensor's size.
Status write_weights(const Tensor& tensor, RandomBits& bits, formats::GgufWriter& writer) {
  constexpr size_t kPartValues = 1 << 20;
  size_t left = 1;
  for (const int64_t extent : tensor.shape) left *= static_cast<size_t>(extent);
  if (tensor.shape.size() == 1) {
    const std::vector<float> ones(left, 1.0f);
    return writer.write_tensor(ones.data(), left * sizeof(float));
  }
  std::vector<uint8_t> part(dtype_bytes(tensor.type, std::min(left, kPartValues)));
  while (left > 0) {
    const size_t values = std::min(left, kPartValues);
    random_weights(tensor.type, values, bits, part.data());
    DSPARK_RETURN_IF_ERROR(writer.write_part(part.data(), dtype_bytes(tensor.type, values)));
    left -= values;
  }
  return {};
}

Status write_model(const Shape& shape, DType type, uint64_t seed, const std::string& path) {
  formats::GgufWriter writer(path);
  set_metadata(shape, type, writer);
  const std::vector<Tensor> tensors = tensors_of(shape, type);
  for (const Tensor& tensor : tensors) writer.declare(tensor.name, tensor.type, tensor.shape);
  DSPARK_RETURN_IF_ERROR(writer.begin());
  for (size_t i = 0; i < tensors.size(); ++i) {
    // Every tensor has a stream of its own, far from the next seed's.
    RandomBits bits(RandomBits(seed).next() + RandomBits(i).next());
    DSPARK_RETURN_IF_ERROR(write_weights(tensors[i], bits, writer));
  }
  return writer.finish();
}

int run(int argc, char** argv) {
  std::vector<std::string> shapes, types;
  for (const Shape& shape : kShapes) shapes.emplace_back(shape.name);
  for (int i = 0; i <= static_cast<int>(DType::kQ6_K); ++i)
    types.emplace_back(dtype_info(static_cast<DType>(i)).name);
  CLI::App app{"Writes a GGUF model of a public shape with random weights.", "random_model"};
  std::string shape_name, type_name, path;
  uint64_t seed = 0;
  app.add_option("SHAPE", shape_name, "Shape of the model")
      ->required()
      ->check(CLI::IsMember(shapes));
  app.add_option("TYPE", type_name, "Type of every matrix")
      ->required()
      ->check(CLI::IsMember(types, CLI::ignore_case));
  app.add_option("OUT", path, "The GGUF file to write")->required();
  app.add_option("--seed", seed, "The same seed gives the same file")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto shape = std::find_if(std::begin(kShapes), std::end(kShapes),
                                  [&](const Shape& s) { return shape_name == s.name; });
  const Status status = write_model(*shape, *dtype_from_name(type_name), seed, path);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace dspark

int main(int argc, char** argv) { return dspark::run(argc, argv); }

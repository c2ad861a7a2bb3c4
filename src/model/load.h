// From a model file to packed weights.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/base.h"
#include "compute/compute.h"
#include "kv/kv.h"
#include "model/packer.h"
#include "model/spec.h"
#include "model/weights.h"

namespace dspark::model {

struct Layer {
  std::vector<float> attention_norm, ffn_norm;            // [hidden]
  std::vector<float> attention_post_norm, ffn_post_norm;  // [hidden], where spec.sandwich_norms
  float scale = 1;                                        // of the layer's output
  std::vector<float> hidden_norm;  // [hidden], where spec.pairs_embedding, else empty
  compute::PackedMatrix q, k, v, o, gate, up, down;   // v: empty where values are keys
  std::vector<float> q_bias, k_bias, v_bias, o_bias;  // empty when the family has none
  std::vector<float> q_norm, k_norm;                  // [head_dim], empty when the family has none

  std::array<const compute::PackedMatrix*, 7> matrices() const {
    return {&q, &k, &v, &o, &gate, &up, &down};
  }
};

// The rotary embedding of a kind of layers.
struct Rotation {
  std::vector<float> inv_freq;  // [rope.dim / 2]
  float amplitude = 1;
};

struct Model {
  Spec spec;
  compute::PackedMatrix embedding;  // [vocab, hidden]
  float embedding_scale = 1;
  compute::PackedMatrix head;      // [vocab, hidden]; empty when tied: then embedding serves. A
                                   // drafter's may have fewer rows: its draft vocabulary
  std::vector<float> output_norm;  // [hidden]
  std::vector<Layer> layers;
  // Drafters only: from features to rows of the draft layers.
  compute::PackedMatrix features;   // "fc", [hidden, taps * hidden]
  std::vector<float> context_norm;  // [hidden], of context rows
  compute::AlignedBuffer weights;   // all matrices
  size_t weight_bytes = 0;          // of the packed matrices
  std::vector<Rotation> rotations;  // [spec.kinds]

  // Every matrix in float32: then the cache is, too, and nothing is rounded to less.
  bool all_float32() const;
  int64_t layer_weights() const;  // values of the layers' matrices
  // The cells that its layers need in a page.
  std::vector<kv::LayerShape> cache_layers() const;
  const compute::PackedMatrix& output_head() const { return head.empty() ? embedding : head; }
};

struct LoadOptions {
  std::optional<DType> quantise;  // every matrix in this type; kF32 expands (see docs/decisions.md)
  LoadProgress progress;          // may be empty
};

// What a family that scales its embedding multiplies rows by, for an embedding stored in that type:
// it rounds the factor to the type.
float embedding_scale(const Spec& spec, DType stored);

// The norms, biases and matrices of model.spec's layers, and the output norm: matrices are noted in
// the packer. Embedding, its scale and head are the caller's.
Status load_decoder(WeightSource& source, std::optional<DType> quantise, Packer& packer,
                    Model& model);

// path: a GGUF file or a Hugging Face directory. Loading and repacking run on the pool.
Result<std::unique_ptr<Model>> load_model(const std::filesystem::path& path,
                                          const LoadOptions& options, ThreadPool& pool);

}  // namespace dspark::model

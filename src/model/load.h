// From a model file to packed weights.
#pragma once

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
  std::vector<float> attention_norm, ffn_norm;  // [hidden]
  std::vector<float> hidden_norm;               // [hidden], where spec.pairs_embedding, else empty
  compute::PackedMatrix q, k, v, o, gate, up, down;
  std::vector<float> q_bias, k_bias, v_bias, o_bias;  // empty when the family has none
  std::vector<float> q_norm, k_norm;                  // [head_dim], empty when the family has none
};

struct Model {
  Spec spec;
  compute::PackedMatrix embedding;  // [vocab, hidden]
  compute::PackedMatrix head;       // [vocab, hidden]; empty when tied: then embedding serves. A
                                    // drafter's may have fewer rows: its draft vocabulary
  std::vector<float> output_norm;   // [hidden]
  std::vector<Layer> layers;
  // Drafters only: from features to rows of the draft layers.
  compute::PackedMatrix features;   // "fc", [hidden, taps * hidden]
  std::vector<float> context_norm;  // [hidden], of context rows
  compute::AlignedBuffer weights;   // all matrices
  size_t weight_bytes = 0;          // of the packed matrices
  std::vector<float> rope_inv_freq;
  float rope_amplitude = 1;

  // Every matrix in float32: then the cache is, too, and nothing is rounded to less.
  bool all_float32() const;
  // The cells that its layers need in a page.
  std::vector<kv::LayerShape> cache_layers() const;
  const compute::PackedMatrix& output_head() const { return head.empty() ? embedding : head; }
};

struct LoadOptions {
  std::optional<DType> quantise;  // every matrix in this type; kF32 expands (see docs/decisions.md)
  LoadProgress progress;          // may be empty
};

// The norms, biases and matrices of model.spec's layers, and the output norm: matrices are noted in
// the packer. Embedding and head are the caller's.
Status load_decoder(WeightSource& source, std::optional<DType> quantise, Packer& packer,
                    Model& model);

// path: a GGUF file or a Hugging Face directory. Loading and repacking run on the pool.
Result<std::unique_ptr<Model>> load_model(const std::filesystem::path& path,
                                          const LoadOptions& options, ThreadPool& pool);

}  // namespace dspark::model

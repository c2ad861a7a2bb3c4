// The tensors of a model under one set of names, whatever file they come from.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "base/base.h"
#include "formats/formats.h"
#include "model/packer.h"
#include "model/spec.h"

namespace dspark::model {

enum class Part {
  kEmbedding,
  kHead,
  kOutputNorm,  // of the model
  kAttentionNorm,
  kAttentionPostNorm,
  kFfnNorm,
  kFfnPostNorm,
  kLayerScale,  // [1]
  kHiddenNorm,  // of a layer whose attention reads [embedding ; hidden]
  kQ,
  kK,
  kV,
  kO,  // of a layer
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kQNorm,
  kKNorm,
  kGate,
  kUp,
  kDown
};

// Hugging Face's name, without the "model." that whole models put before all but lm_head; such are
// DeepSpec's drafters' names, too.
std::string hf_tensor_name(const Spec& spec, Part part, int layer);

// A decoder's tensors by part.
class WeightSource : public TensorSource {
 public:
  // The tensor, or an error that names it when it is missing or of another shape.
  virtual Result<const TensorView*> find(Part part, int layer, std::vector<int64_t> shape) = 0;
};

class WeightFile : public WeightSource {
 public:
  static Result<WeightFile> open(
      const std::filesystem::path& path);  // a GGUF file or a HF directory

  const Spec& spec() const { return spec_; }
  const std::string& name() const override { return name_; }

  Result<const TensorView*> find(Part part, int layer, std::vector<int64_t> shape) override;
  // An error naming a tensor that no part asked for: leaving it out would change the model
  // silently.
  Status check_all_used() const;
  void release(const TensorView& tensor) const override;

 private:
  std::string tensor_name(Part part, int layer) const;
  std::string name_;
  Spec spec_;
  std::optional<formats::GgufFile> gguf_;
  std::optional<formats::Safetensors> safetensors_;
  std::set<std::string> used_;
};

}  // namespace dspark::model

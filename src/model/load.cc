#include "model/load.h"

#include "model/packer.h"
#include "model/weights.h"

namespace dspark::model {
namespace {

// Asks the source for every tensor of a decoder; matrices go to the packer, vectors are read.
class DecoderLoader {
 public:
  DecoderLoader(WeightSource& source, std::optional<DType> quantise, Packer& packer, Model& model)
      : source_(source), quantise_(quantise), packer_(packer), model_(model), s_(model.spec) {}

  Status load() {
    DSPARK_RETURN_IF_ERROR(load_vector(Part::kOutputNorm, 0, s_.hidden, model_.output_norm));
    model_.layers.resize(static_cast<size_t>(s_.layers));
    for (int l = 0; l < s_.layers; ++l) DSPARK_RETURN_IF_ERROR(load_layer(l));
    return {};
  }

  Status load_matrix(Part part, int layer, int64_t rows, int64_t columns,
                     compute::PackedMatrix& out, RowOrder order = {}) {
    DSPARK_TRY(const TensorView* view, source_.find(part, layer, {rows, columns}));
    return packer_.add(*view, quantise_, &out, order);
  }

 private:
  Status load_vector(Part part, int layer, int64_t n, std::vector<float>& out,
                     RowOrder order = {}) {
    DSPARK_TRY(const TensorView* view, source_.find(part, layer, {n}));
    DSPARK_TRY(out, read_vector(source_, *view, order));
    return {};
  }

  Status load_layer(int l) {
    Layer& layer = model_.layers[static_cast<size_t>(l)];
    const RowOrder q_order{s_.interleaved_rope ? s_.heads : 0, s_.rope.dim},
        k_order{s_.interleaved_rope ? s_.kv_heads : 0, s_.rope.dim};
    const int64_t input = s_.attention_input();
    DSPARK_RETURN_IF_ERROR(load_vector(Part::kAttentionNorm, l, s_.hidden, layer.attention_norm));
    DSPARK_RETURN_IF_ERROR(load_vector(Part::kFfnNorm, l, s_.hidden, layer.ffn_norm));
    if (s_.pairs_embedding)
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kHiddenNorm, l, s_.hidden, layer.hidden_norm));
    if (s_.qkv_bias) {
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kQBias, l, s_.q_width(), layer.q_bias, q_order));
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kKBias, l, s_.kv_width(), layer.k_bias, k_order));
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kVBias, l, s_.kv_width(), layer.v_bias));
    }
    if (s_.output_bias)
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kOBias, l, s_.hidden, layer.o_bias));
    if (s_.qk_norm) {
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kQNorm, l, s_.head_dim, layer.q_norm));
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kKNorm, l, s_.head_dim, layer.k_norm));
    }
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kQ, l, s_.q_width(), input, layer.q, q_order));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kK, l, s_.kv_width(), input, layer.k, k_order));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kV, l, s_.kv_width(), input, layer.v));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kO, l, s_.hidden, s_.q_width(), layer.o));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kGate, l, s_.ffn, s_.hidden, layer.gate));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kUp, l, s_.ffn, s_.hidden, layer.up));
    return load_matrix(Part::kDown, l, s_.hidden, s_.ffn, layer.down);
  }

  WeightSource& source_;
  std::optional<DType> quantise_;
  Packer& packer_;
  Model& model_;
  const Spec& s_;
};

}  // namespace

bool Model::all_float32() const {
  const auto is = [](const compute::PackedMatrix& m) { return m.type == DType::kF32; };
  for (const Layer& l : layers)
    if (!is(l.q) || !is(l.k) || !is(l.v) || !is(l.o) || !is(l.gate) || !is(l.up) || !is(l.down))
      return false;
  return is(embedding) && is(output_head());
}

std::vector<kv::LayerShape> Model::cache_layers() const {
  return std::vector<kv::LayerShape>(static_cast<size_t>(spec.layers),
                                     {spec.kv_heads, spec.head_dim, all_float32() ? 4 : 2});
}

Status load_decoder(WeightSource& source, std::optional<DType> quantise, Packer& packer,
                    Model& model) {
  DSPARK_RETURN_IF_ERROR(DecoderLoader(source, quantise, packer, model).load());
  model.rope_inv_freq = rope_frequencies(model.spec.rope, &model.rope_amplitude);
  return {};
}

Result<std::unique_ptr<Model>> load_model(const std::filesystem::path& path,
                                          const LoadOptions& options, ThreadPool& pool) {
  DSPARK_TRY(WeightFile file, WeightFile::open(path));
  auto model = std::make_unique<Model>();
  model->spec = file.spec();
  const Spec& s = model->spec;
  Packer packer(file);
  DecoderLoader loader(file, options.quantise, packer, *model);
  DSPARK_RETURN_IF_ERROR(
      loader.load_matrix(Part::kEmbedding, 0, s.vocab, s.hidden, model->embedding));
  if (!s.tied_head)
    DSPARK_RETURN_IF_ERROR(loader.load_matrix(Part::kHead, 0, s.vocab, s.hidden, model->head));
  DSPARK_RETURN_IF_ERROR(load_decoder(file, options.quantise, packer, *model));
  DSPARK_RETURN_IF_ERROR(packer.pack(pool, options.progress, &model->weights));
  model->weight_bytes = packer.bytes();
  DSPARK_RETURN_IF_ERROR(file.check_all_used());
  return model;
}

}  // namespace dspark::model

#include "model/load.h"

#include <cmath>

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

  Status load_norms(int l) {
    Layer& layer = model_.layers[static_cast<size_t>(l)];
    DSPARK_RETURN_IF_ERROR(load_vector(Part::kAttentionNorm, l, s_.hidden, layer.attention_norm));
    DSPARK_RETURN_IF_ERROR(load_vector(Part::kFfnNorm, l, s_.hidden, layer.ffn_norm));
    if (s_.sandwich_norms) {
      DSPARK_RETURN_IF_ERROR(
          load_vector(Part::kAttentionPostNorm, l, s_.hidden, layer.attention_post_norm));
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kFfnPostNorm, l, s_.hidden, layer.ffn_post_norm));
      std::vector<float> scale;
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kLayerScale, l, 1, scale));
      layer.scale = scale[0];
    }
    if (s_.pairs_embedding)
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kHiddenNorm, l, s_.hidden, layer.hidden_norm));
    if (!s_.qk_norm) return {};
    const int64_t head_dim = s_.attention(l).head_dim;
    DSPARK_RETURN_IF_ERROR(load_vector(Part::kQNorm, l, head_dim, layer.q_norm));
    return load_vector(Part::kKNorm, l, head_dim, layer.k_norm);
  }

  Status load_layer(int l) {
    DSPARK_RETURN_IF_ERROR(load_norms(l));
    Layer& layer = model_.layers[static_cast<size_t>(l)];
    const AttentionKind& kind = s_.attention(l);
    const RowOrder q_order{s_.interleaved_rope ? s_.heads : 0, kind.rope.dim},
        k_order{s_.interleaved_rope ? kind.kv_heads : 0, kind.rope.dim};
    const int64_t input = s_.attention_input(), q_width = s_.q_width(l), kv_width = kind.kv_width();
    if (s_.qkv_bias) {
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kQBias, l, q_width, layer.q_bias, q_order));
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kKBias, l, kv_width, layer.k_bias, k_order));
      if (!kind.values_are_keys)
        DSPARK_RETURN_IF_ERROR(load_vector(Part::kVBias, l, kv_width, layer.v_bias));
    }
    if (s_.output_bias)
      DSPARK_RETURN_IF_ERROR(load_vector(Part::kOBias, l, s_.hidden, layer.o_bias));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kQ, l, q_width, input, layer.q, q_order));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kK, l, kv_width, input, layer.k, k_order));
    if (!kind.values_are_keys)
      DSPARK_RETURN_IF_ERROR(load_matrix(Part::kV, l, kv_width, input, layer.v));
    DSPARK_RETURN_IF_ERROR(load_matrix(Part::kO, l, s_.hidden, q_width, layer.o));
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
  const auto is = [](const compute::PackedMatrix& m) { return m.empty() || m.type == DType::kF32; };
  for (const Layer& layer : layers)
    for (const compute::PackedMatrix* m : layer.matrices())
      if (!is(*m)) return false;
  return is(embedding) && is(output_head());
}

int64_t Model::layer_weights() const {
  int64_t values = 0;
  for (const Layer& layer : layers)
    for (const compute::PackedMatrix* m : layer.matrices()) values += m->rows * m->columns;
  return values;
}

std::vector<kv::LayerShape> Model::cache_layers() const {
  std::vector<kv::LayerShape> shapes;
  for (int l = 0; l < spec.layers; ++l)
    shapes.push_back(
        {spec.attention(l).kv_heads, spec.attention(l).head_dim, all_float32() ? 4 : 2});
  return shapes;
}

float embedding_scale(const Spec& spec, DType stored) {
  if (!spec.scaled_embedding) return 1;
  const auto scale = static_cast<float>(std::sqrt(static_cast<double>(spec.hidden)));
  if (stored == DType::kBF16) return bf16_to_f32(f32_to_bf16(scale));
  return stored == DType::kF16 ? f16_to_f32(f32_to_f16(scale)) : scale;
}

Status load_decoder(WeightSource& source, std::optional<DType> quantise, Packer& packer,
                    Model& model) {
  DSPARK_RETURN_IF_ERROR(DecoderLoader(source, quantise, packer, model).load());
  for (const AttentionKind& kind : model.spec.kinds) {
    Rotation& rotation = model.rotations.emplace_back();
    rotation.inv_freq = rope_frequencies(kind.rope, &rotation.amplitude);
  }
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
  DSPARK_TRY(const TensorView* embedding, file.find(Part::kEmbedding, 0, {s.vocab, s.hidden}));
  model->embedding_scale = embedding_scale(s, embedding->type);
  if (!s.tied_head)
    DSPARK_RETURN_IF_ERROR(loader.load_matrix(Part::kHead, 0, s.vocab, s.hidden, model->head));
  DSPARK_RETURN_IF_ERROR(load_decoder(file, options.quantise, packer, *model));
  DSPARK_RETURN_IF_ERROR(packer.pack(pool, options.progress, &model->weights));
  model->weight_bytes = packer.bytes();
  DSPARK_RETURN_IF_ERROR(file.check_all_used());
  return model;
}

}  // namespace dspark::model

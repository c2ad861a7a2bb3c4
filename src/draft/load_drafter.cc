// From a checkpoint to packed draft layers and heads; what it does not hold is the target's.
#include <algorithm>

#include "draft/drafter.h"

namespace dspark::draft {
namespace {

using compute::PackedMatrix;
using model::Part;

constexpr int kDefaultCandidates = 64;

// The draft layers' tensors by part.
class DecoderTensors : public model::WeightSource {
 public:
  explicit DecoderTensors(const DrafterFile& file) : file_(file) {}
  const std::string& name() const override { return file_.config().name; }
  void release(const TensorView& tensor) const override { file_.release(tensor); }

  Result<const TensorView*> find(Part part, int layer, std::vector<int64_t> shape) override {
    const std::string name = model::hf_tensor_name(file_.config().decoder, part, layer);
    return find(name, std::move(shape));
  }
  Result<const TensorView*> find(const std::string& name, std::vector<int64_t> shape) const {
    const TensorView* tensor = file_.find(name);
    if (tensor == nullptr) return fail("{}: tensor {} is missing", this->name(), name);
    CHECK(tensor->shape == shape, "{}: shape of {}", this->name(), name);
    return tensor;
  }

 private:
  const DrafterFile& file_;
};

class Loader {
 public:
  Loader(const DrafterFile& file, const DrafterOptions& options, DrafterModel& out)
      : file_(file), tensors_(file), options_(options), packer_(tensors_), out_(out) {}

  Status load(const model::Model& target, const std::filesystem::path& target_path,
              ThreadPool& pool) {
    const DrafterConfig& c = out_.config;
    model::Model& decoder = out_.decoder;
    const int64_t hidden = c.decoder.hidden, rank = c.markov_rank;
    decoder.spec = c.decoder;
    DSPARK_RETURN_IF_ERROR(model::load_decoder(tensors_, options_.quantise, packer_, decoder));
    DSPARK_RETURN_IF_ERROR(matrix("fc.weight", hidden, c.taps() * hidden, decoder.features));
    if (c.kind == Kind::kBlock)
      DSPARK_RETURN_IF_ERROR(vector("hidden_norm.weight", {hidden}, decoder.context_norm));
    DSPARK_RETURN_IF_ERROR(embedding_and_head(target));
    if (rank > 0) {
      DSPARK_RETURN_IF_ERROR(table("markov_head.markov_w1.weight", c.decoder.vocab, rank));
      DSPARK_RETURN_IF_ERROR(
          dense("markov_head.markov_w2.weight", c.draft_vocab, rank, out_.markov_w2));
    }
    if (c.markov_head == MarkovHead::kGated)
      DSPARK_RETURN_IF_ERROR(gate("gate_proj", rank, hidden + rank));
    if (c.markov_head == MarkovHead::kRnn)
      DSPARK_RETURN_IF_ERROR(gate("joint_proj", 3 * rank, 2 * rank + hidden));
    if (c.confidence_head) {
      DSPARK_RETURN_IF_ERROR(dense("confidence_head.proj.weight", 1,
                                   hidden + (c.confidence_with_markov ? rank : 0),
                                   out_.confidence));
      DSPARK_RETURN_IF_ERROR(vector("confidence_head.proj.bias", {1}, out_.confidence_bias));
    }
    DSPARK_RETURN_IF_ERROR(packer_.pack(pool, options_.progress, &decoder.weights));
    decoder.weight_bytes = packer_.bytes();
    if (borrows_head_rows()) return head_rows_of(target_path, pool);
    return {};
  }

 private:
  Status matrix(const std::string& name, int64_t rows, int64_t columns, PackedMatrix& out) {
    DSPARK_TRY(const TensorView* view, tensors_.find(name, {rows, columns}));
    return packer_.add(*view, options_.quantise, &out);
  }
  // w1 is looked up, never multiplied; a rank that the wanted type can't hold keeps its own.
  Status table(const std::string& name, int64_t rows, int64_t columns) {
    DSPARK_TRY(const TensorView* view, tensors_.find(name, {rows, columns}));
    std::optional<DType> type = options_.quantise;
    if (type && columns % std::max(dtype_info(*type).block_values, 32) != 0 &&
        !compute::is_float_type(*type))
      type.reset();
    return packer_.add(*view, type, &out_.markov_w1);
  }
  Status vector(const std::string& name, std::vector<int64_t> shape, std::vector<float>& out) {
    DSPARK_TRY(const TensorView* view, tensors_.find(name, std::move(shape)));
    DSPARK_TRY(out, model::read_vector(tensors_, *view));
    return {};
  }
  Status dense(const std::string& name, int64_t rows, int64_t columns, DrafterModel::Dense& out) {
    DSPARK_TRY(const TensorView* view, tensors_.find(name, {rows, columns}));
    out = {rows, columns, std::vector<float>(static_cast<size_t>(rows * columns))};
    dequantise(view->type, view->data, out.values.data(), out.values.size());
    for (const float v : out.values)
      if (!std::isfinite(v))
        return fail("{}: tensor {}: a value is not finite", tensors_.name(), name);
    return {};
  }
  Status gate(const std::string& name, int64_t rows, int64_t columns) {
    DSPARK_RETURN_IF_ERROR(dense("markov_head." + name + ".weight", rows, columns, out_.gate));
    return vector("markov_head." + name + ".bias", {rows}, out_.gate_bias);
  }

  bool borrows_head_rows() const {
    return !out_.config.d2t.empty() && file_.find("lm_head.weight") == nullptr;
  }

  Status embedding_and_head(const model::Model& target) {
    const DrafterConfig& c = out_.config;
    model::Model& decoder = out_.decoder;
    const int64_t hidden = c.decoder.hidden;
    if (const TensorView* stored = file_.find("embed_tokens.weight"); stored != nullptr) {
      DSPARK_RETURN_IF_ERROR(
          matrix("embed_tokens.weight", c.decoder.vocab, hidden, decoder.embedding));
      decoder.embedding_scale = model::embedding_scale(c.decoder, stored->type);
    } else {
      decoder.embedding = target.embedding;
      decoder.embedding_scale = target.embedding_scale;
    }
    if (file_.find("lm_head.weight") != nullptr)
      return matrix("lm_head.weight", c.draft_vocab, hidden, decoder.head);
    if (!borrows_head_rows()) decoder.head = target.output_head();
    return {};
  }

  // The draft vocabulary's rows of the target's head, as its file stores them.
  Status head_rows_of(const std::filesystem::path& target_path, ThreadPool& pool) {
    const DrafterConfig& c = out_.config;
    DSPARK_TRY(model::WeightFile target, model::WeightFile::open(target_path));
    const Part part = target.spec().tied_head ? Part::kEmbedding : Part::kHead;
    DSPARK_TRY(const TensorView* all, target.find(part, 0, {c.decoder.vocab, c.decoder.hidden}));
    model::Packer packer(target);
    DSPARK_RETURN_IF_ERROR(
        packer.add(*all, options_.quantise, &out_.decoder.head, {.picked = out_.config.d2t}));
    DSPARK_RETURN_IF_ERROR(packer.pack(pool, {}, &out_.head_rows));
    out_.decoder.weight_bytes += packer.bytes();
    return {};
  }

  const DrafterFile& file_;
  DecoderTensors tensors_;
  const DrafterOptions& options_;
  model::Packer packer_;
  DrafterModel& out_;
};

}  // namespace

Result<std::unique_ptr<DrafterModel>> load_drafter(const DrafterFile& file,
                                                   const model::Model& target,
                                                   const std::filesystem::path& target_path,
                                                   const DrafterOptions& options,
                                                   ThreadPool& pool) {
  auto out = std::make_unique<DrafterModel>();
  out->config = file.config();
  DrafterConfig& c = out->config;
  if (options.candidates >= 0) c.candidates = options.candidates;
  // Few tokens are worth a correction, whatever the checkpoint's own engine does.
  else if (c.candidates == 0)
    c.candidates = kDefaultCandidates;
  if (c.candidates >= c.draft_vocab) c.candidates = 0;
  DSPARK_RETURN_IF_ERROR(Loader(file, options, *out).load(target, target_path, pool));
  return out;
}

}  // namespace dspark::draft

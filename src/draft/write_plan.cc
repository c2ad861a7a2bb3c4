#include "draft/write_plan.h"

#include <algorithm>
#include <map>

#include "draft/config_json.h"

namespace dspark::draft {
namespace {

bool is_rotated(std::string_view name) {
  return name.find(".q_proj.") != std::string_view::npos ||
         name.find(".k_proj.") != std::string_view::npos;
}

class Planner {
 public:
  Planner(const DrafterFile& drafter, const WriteOptions& options)
      : drafter_(drafter), stored_(drafter.config()), options_(options) {}

  Result<WritePlan> plan() {
    plan_.config = stored_;
    if (options_.candidates) plan_.config.candidates = *options_.candidates;
    if (options_.calibrations) plan_.config.calibrations = *options_.calibrations;
    DSPARK_RETURN_IF_ERROR(look_at_target());
    DSPARK_RETURN_IF_ERROR(choose_vocabulary());
    DSPARK_RETURN_IF_ERROR(check_layout());
    look_at_calibrations();
    DrafterConfig& config = plan_.config;
    if (options_.layout == Layout::kDeepSpec) {
      config.draft_vocab = config.decoder.vocab;
      config.d2t.clear();
      DSPARK_RETURN_IF_ERROR(choose_float_type());
    }
    config.decoder.interleaved_rope = options_.layout == Layout::kLlamaCpp && is_eagle3();
    for (const TensorSlot& slot : tensor_table(config)) DSPARK_RETURN_IF_ERROR(add(slot));
    for (const auto& [types, kept] : kept_)
      note(fmt::format("matrices that stay {}: {} ({}); {} takes rows of a multiple of {} values",
                       dtype_info(types.second).name, kept.count, kept.first,
                       dtype_info(types.first).name, dtype_info(types.first).block_values));
    plan_.report.tensors = plan_.tensors.size();
    plan_.report.bytes = plan_.bytes();
    return std::move(plan_);
  }

 private:
  bool is_eagle3() const { return stored_.kind == Kind::kEagle3; }
  Error refused(std::string_view form, std::string_view what) const {
    return fail("{}: {} form has no place for {}", stored_.name, form, what);
  }
  void note(std::string text) { plan_.report.notes.push_back(std::move(text)); }

  Status look_at_target() {
    if (options_.target == nullptr) return {};
    const model::Spec& target = options_.target->spec();
    DSPARK_RETURN_IF_ERROR(check_fits(stored_, target, options_.target_fingerprint));
    plan_.config.target_layers = target.layers;
    if (stored_.tokenizer_fingerprint.empty())
      plan_.config.tokenizer_fingerprint = options_.target_fingerprint;
    return {};
  }

  void look_at_calibrations() {
    std::vector<StoredCalibration>& calibrations = plan_.config.calibrations;
    if (calibrations.empty()) return;
    const bool as_fitted = !options_.type && !options_.head_type && !options_.markov_type &&
                           options_.draft_ids.empty() && !options_.candidates;
    if (options_.layout != Layout::kDspark) {
      note(fmt::format("{} form has no place for calibrations: {} left out",
                       options_.layout == Layout::kLlamaCpp ? "llama.cpp's" : "DeepSpec's",
                       calibrations.size()));
      calibrations.clear();
    } else if (!as_fitted && !options_.calibrations) {
      note("its calibrations were fitted before this change: `dspark calibrate` fits them anew");
    }
  }

  Status choose_vocabulary() {
    DrafterConfig& config = plan_.config;
    if (!options_.draft_ids.empty()) {
      config.d2t = options_.draft_ids;
      std::sort(config.d2t.begin(), config.d2t.end());
      config.d2t.erase(std::unique(config.d2t.begin(), config.d2t.end()), config.d2t.end());
      const std::vector<int32_t>& from = stored_.d2t;
      for (const int32_t id : config.d2t)
        if (id < 0 || id >= config.decoder.vocab ||
            (!from.empty() && !std::binary_search(from.begin(), from.end(), id)))
          return fail("{}: token {} is none that it drafts", stored_.name, id);
      config.draft_vocab = static_cast<int>(config.d2t.size());
      if (config.draft_vocab == config.decoder.vocab) config.d2t.clear();
    }
    config.candidates = std::min(config.candidates, config.draft_vocab);
    return {};
  }

  Status check_layout() {
    switch (options_.layout) {
      case Layout::kDspark:
        return {};
      case Layout::kLlamaCpp:
        return check_llamacpp();
      case Layout::kDeepSpec:
        return check_deepspec();
    }
    CHECK(false);
  }

  Status check_llamacpp() {
    const std::string form = "llama.cpp's";
    const model::Spec& decoder = stored_.decoder;
    if (decoder.family == model::Family::kGemma4) return refused(form, "Gemma 4's draft layers");
    if (stored_.markov_head == MarkovHead::kGated || stored_.markov_head == MarkovHead::kRnn)
      return refused(form,
                     fmt::format("the {} Markov head", markov_head_name(stored_.markov_head)));
    if (stored_.confidence_head && !stored_.confidence_with_markov)
      return refused(form, "a confidence head that does not read the Markov head");
    if (decoder.qkv_bias || decoder.output_bias) return refused(form, "biases of the attention");
    if (is_eagle3() && decoder.qk_norm)
      return refused(form, "an Eagle3 drafter with normalised queries and keys");
    if (is_eagle3() && stored_.taps() != 3)
      return refused(form,
                     fmt::format("an Eagle3 drafter of {} taps (it wants 3)", stored_.taps()));
    if (options_.target_gguf == nullptr)
      return fail(
          "{}: llama.cpp's form carries the target's tokenizer: name the target's GGUF file "
          "with --target",
          stored_.name);
    if (plan_.config.candidates > 0)
      note(
          fmt::format("llama.cpp's form does not say that the Markov head's bias is for {} "
                      "candidates alone: left out",
                      plan_.config.candidates));
    return {};
  }

  Status check_deepspec() {
    const std::string form = "DeepSpec's";
    if (!stored_.decoder.qk_norm)
      return refused(form, "attention without normalised queries and keys");
    if (!stored_.decoder.kinds[0].rope.frequency_divisors.empty())
      return refused(form, "RoPE frequencies of their own");
    if (is_eagle3() && stored_.taps() != 5)
      return refused(form,
                     fmt::format("an Eagle3 drafter of {} taps (it wants 5)", stored_.taps()));
    if (plan_.config.target_layers == 0)
      return fail(
          "{}: it does not say how many layers its target has, as DeepSpec's form must: "
          "name the target with --target",
          stored_.name);
    if (!options_.draft_ids.empty()) return refused(form, "a draft vocabulary");
    if (options_.share)
      return fail("{}: DeepSpec's form holds embedding and head: they can't be left out",
                  stored_.name);
    if (!stored_.anchor_predicts)
      note(
          "DeepSpec itself does not read the key sample_from_anchor: it would draft from the "
          "anchor on");
    return {};
  }

  // DeepSpec's checkpoints have one type: that of all matrices, if it is one and a float's, else
  // BF16.
  Status choose_float_type() {
    for (const auto& asked : {options_.type, options_.head_type, options_.markov_type})
      if (asked && is_quantised(*asked))
        return fail("{}: type {}: safetensors hold f32, f16 or bf16", stored_.name,
                    dtype_info(*asked).name);
    if (options_.type) {
      float_type_ = *options_.type;
      return {};
    }
    const TensorView& first = *drafter_.find("fc.weight");
    float_type_ = is_quantised(first.type) ? DType::kBF16 : first.type;
    for (const TensorSlot& slot : tensor_table(stored_)) {
      const TensorView* tensor = drafter_.find(slot.name);
      if (slot.is_matrix && tensor != nullptr && tensor->type != float_type_)
        float_type_ = DType::kBF16;
    }
    return {};
  }

  DType type_for(const TensorSlot& slot, DType stored) {
    std::optional<DType> asked = options_.type;
    if (slot.name == "lm_head.weight" && options_.head_type) asked = options_.head_type;
    if (slot.name.starts_with("markov_head.") && options_.markov_type) asked = options_.markov_type;
    if (options_.layout == Layout::kDeepSpec) return asked.value_or(float_type_);
    if (!slot.is_matrix) return DType::kF32;
    if (!asked || slot.shape.back() % dtype_info(*asked).block_values == 0)
      return asked.value_or(stored);
    auto& kept = kept_[{*asked, stored}];
    if (kept.count++ == 0) kept.first = fmt::format("{} with {}", slot.name, slot.shape.back());
    return stored;
  }

  Result<const TensorView*> of_target(model::Part part) {
    if (options_.target == nullptr)
      return fail("{}: it takes its {} from its target: name the target with --target",
                  stored_.name, part == model::Part::kEmbedding ? "embedding" : "output head");
    const model::Spec& spec = options_.target->spec();
    if (part == model::Part::kHead && spec.tied_head) part = model::Part::kEmbedding;
    return options_.target->find(part, 0, {spec.vocab, spec.hidden});
  }

  Status add(const TensorSlot& slot) {
    const TensorView* own = drafter_.find(slot.name);
    if (slot.optional && options_.share) own = nullptr;
    PlannedTensor planned;
    planned.name = options_.layout == Layout::kDeepSpec ? slot.name : slot.gguf_name;
    planned.shape = slot.shape;
    if (slot.name == "lm_head.weight" || slot.name == "markov_head.markov_w2.weight") {
      if (own == nullptr && head_stays_away()) return {};
      DSPARK_RETURN_IF_ERROR(add_draft_rows(own, slot.optional, planned));
    } else if (own == nullptr) {  // the embedding
      if (options_.layout != Layout::kDeepSpec) return {};
      DSPARK_TRY(own, of_target(model::Part::kEmbedding));
      for (int64_t row = 0; row < slot.shape[0]; ++row) planned.rows.push_back({own, row});
    } else {
      add_own_rows(*own, planned);
    }
    const TensorView* first = own != nullptr ? own : planned.rows[0].tensor;
    planned.type = type_for(slot, first->type);
    plan_.tensors.push_back(std::move(planned));
    return {};
  }

  void add_own_rows(const TensorView& own, PlannedTensor& planned) {
    // Pairs of rows lie side by side in llama.cpp's Eagle3, half a head apart everywhere else.
    const model::Spec& s = stored_.decoder;
    const bool turns =
        s.interleaved_rope != plan_.config.decoder.interleaved_rope && is_rotated(own.name);
    for (int64_t row = 0; row < own.rows(); ++row) planned.rows.push_back({&own, row});
    if (!turns) return;
    for (int64_t row = 0; row < own.rows(); ++row) {
      const int64_t paired =
          model::half_split_source(row, s.kinds[0].head_dim, s.kinds[0].rope.dim);
      if (s.interleaved_rope)
        planned.rows[static_cast<size_t>(row)].row = paired;
      else
        planned.rows[static_cast<size_t>(paired)].row = row;
    }
  }

  // Whether a form without a head of its own can say so: llama.cpp then takes the target's whole.
  bool head_stays_away() const {
    return options_.layout == Layout::kDspark ||
           (options_.layout == Layout::kLlamaCpp && plan_.config.d2t.empty());
  }

  // Row by row of the draft vocabulary that is written: the drafter's own where it drafts the
  // token; else, of the head, the target's, and of w2 zeros.
  Status add_draft_rows(const TensorView* own, bool is_head, PlannedTensor& planned) {
    const std::vector<int32_t>&d2t = plan_.config.d2t, &from = stored_.d2t;
    for (int32_t row = 0; row < plan_.config.draft_vocab; ++row) {
      const int32_t id = d2t.empty() ? row : d2t[static_cast<size_t>(row)];
      const auto at = std::lower_bound(from.begin(), from.end(), id);
      const bool drafts = from.empty() || (at != from.end() && *at == id);
      if (own != nullptr && drafts) {
        planned.rows.push_back({own, from.empty() ? id : at - from.begin()});
      } else if (is_head) {
        DSPARK_TRY(const TensorView* target, of_target(model::Part::kHead));
        planned.rows.push_back({target, id});
      } else {
        planned.rows.emplace_back();
      }
    }
    return {};
  }

  const DrafterFile& drafter_;
  const DrafterConfig& stored_;
  const WriteOptions& options_;
  DType float_type_ = DType::kBF16;
  // Matrices that cannot have the type asked for, by that and the one they keep.
  struct Kept {
    int count = 0;
    std::string first;
  };
  std::map<std::pair<DType, DType>, Kept> kept_;
  WritePlan plan_;
};

}  // namespace

size_t WritePlan::bytes() const {
  size_t sum = 0;
  for (const PlannedTensor& tensor : tensors) sum += tensor.bytes();
  return sum;
}

Result<WritePlan> plan_write(const DrafterFile& drafter, const WriteOptions& options) {
  return Planner(drafter, options).plan();
}

}  // namespace dspark::draft

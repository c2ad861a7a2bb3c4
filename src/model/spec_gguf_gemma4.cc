// The description of dense Gemma 4 text models from GGUF metadata.
#include <algorithm>

#include "model/spec.h"
#include "model/spec_check.h"

namespace dspark::model {
namespace {

constexpr float kNeverTurns =
    1e9f;  // divisors of pairs that do not turn are above; files have 1e30

int narrowed(int64_t value) { return static_cast<int>(std::clamp<int64_t>(value, -1, 1 << 30)); }

// Reads keys of one file, without their prefix.
class Reader {
 public:
  explicit Reader(const formats::GgufFile& file) : file_(file) {}

  Result<int> size(const std::string& key) const {
    DSPARK_TRY(const int64_t value, file_.integer(kPrefix + key));
    return narrowed(value);
  }

  // A number for each layer, or one for all.
  Result<std::vector<int64_t>> sizes(const std::string& key, int layers) const {
    const auto found = file_.metadata().find(kPrefix + key);
    if (found == file_.metadata().end() ||
        !std::holds_alternative<formats::GgufArray>(found->second)) {
      DSPARK_TRY(const int64_t value, file_.integer(kPrefix + key));
      return std::vector<int64_t>(static_cast<size_t>(layers), value);
    }
    DSPARK_TRY(std::vector<int64_t> values, file_.integers(kPrefix + key));
    if (values.size() != static_cast<size_t>(layers))
      return fail("{}: key {}{}: {} values, expected {}", file_.name(), kPrefix, key, values.size(),
                  layers);
    return values;
  }

  // The one number of the layers that slide, or of the others.
  Result<int> size_of(const std::string& key, const std::vector<bool>& slides, bool which) const {
    DSPARK_TRY(const std::vector<int64_t> values, sizes(key, static_cast<int>(slides.size())));
    std::optional<int64_t> one;
    for (size_t l = 0; l < slides.size(); ++l) {
      if (slides[l] != which) continue;
      if (one && *one != values[l])
        return fail("{}: key {}{}: {} and {} in layers of one kind", file_.name(), kPrefix, key,
                    *one, values[l]);
      one = values[l];
    }
    return narrowed(one.value_or(1));
  }

  Status refuse_extras() const {
    const struct {
      const char *key, *what;
    } extras[] = {{"expert_count", "mixture-of-experts layers"},
                  {"embedding_length_per_layer_input", "per-layer inputs"},
                  {"attention.shared_kv_layers", "layers that share keys and values"}};
    for (const auto& extra : extras) {
      DSPARK_TRY(const int64_t value, file_.integer(kPrefix + extra.key, 0));
      if (value != 0)
        return fail("{}: key {}{}: {}: {} are not supported", file_.name(), kPrefix, extra.key,
                    value, extra.what);
    }
    DSPARK_TRY(const std::string scaling, file_.string(kPrefix + "rope.scaling.type", "none"));
    if (scaling != "none")
      return fail("{}: key {}rope.scaling.type: \"{}\", expected none", file_.name(), kPrefix,
                  scaling);
    return {};
  }

  // suffix: of the keys, "_swa" for layers that slide.
  Status read_heads(const std::string& suffix, AttentionKind& kind) const {
    DSPARK_TRY(kind.head_dim, size("attention.key_length" + suffix));
    DSPARK_TRY(const int values, size("attention.value_length" + suffix));
    if (values != kind.head_dim)
      return fail("{}: key {}attention.value_length{}: {} differs from the key length {}",
                  file_.name(), kPrefix, suffix, values, kind.head_dim);
    DSPARK_TRY(const int64_t turning,
               file_.integer(kPrefix + "rope.dimension_count" + suffix, kind.head_dim));
    kind.rope.dim = narrowed(turning);
    DSPARK_TRY(const double base, file_.number(kPrefix + "rope.freq_base"));
    DSPARK_TRY(kind.rope.theta, file_.number(kPrefix + "rope.freq_base" + suffix, base));
    return {};
  }

  // Full layers turn the first pairs: their divisors are 1, the others' next to infinite.
  Status read_turning_pairs(Rope& rope) const {
    const TensorView* divisors = file_.find("rope_freqs.weight");
    if (divisors == nullptr || divisors->type != DType::kF32 || divisors->values() * 2 != rope.dim)
      return fail("{}: tensor rope_freqs.weight: expected {} float values", file_.name(),
                  rope.dim / 2);
    std::vector<float> values(static_cast<size_t>(divisors->values()));
    dequantise(DType::kF32, divisors->data, values.data(), values.size());
    while (rope.pairs < rope.dim / 2 && values[static_cast<size_t>(rope.pairs)] == 1.0f)
      ++rope.pairs;
    const bool rest_stays = std::all_of(values.begin() + rope.pairs, values.end(),
                                        [](float value) { return value >= kNeverTurns; });
    if (rope.pairs < 1 || !rest_stays)
      return fail("{}: tensor rope_freqs.weight: expected ones, then values above {}", file_.name(),
                  kNeverTurns);
    return {};
  }

 private:
  static inline const std::string kPrefix = "gemma4.";
  const formats::GgufFile& file_;
};

Status read_kinds(const formats::GgufFile& file, const Reader& reader, Spec& spec) {
  DSPARK_TRY(const std::vector<bool> slides,
             file.booleans("gemma4.attention.sliding_window_pattern"));
  if (slides.size() != static_cast<size_t>(spec.layers))
    return fail("{}: key gemma4.attention.sliding_window_pattern: {} values, expected {}",
                file.name(), slides.size(), spec.layers);
  AttentionKind sliding, full;
  const auto first_full = std::find(slides.begin(), slides.end(), false);
  if (std::find(slides.begin(), slides.end(), true) != slides.end()) {
    DSPARK_TRY(sliding.window, file.integer("gemma4.attention.sliding_window"));
    if (sliding.window < 1)
      return fail("{}: key gemma4.attention.sliding_window: {}, expected at least 1", file.name(),
                  sliding.window);
    DSPARK_TRY(sliding.kv_heads, reader.size_of("attention.head_count_kv", slides, true));
    DSPARK_RETURN_IF_ERROR(reader.read_heads("_swa", sliding));
  }
  if (first_full != slides.end()) {
    DSPARK_TRY(full.kv_heads, reader.size_of("attention.head_count_kv", slides, false));
    DSPARK_RETURN_IF_ERROR(reader.read_heads("", full));
    DSPARK_RETURN_IF_ERROR(reader.read_turning_pairs(full.rope));
    full.values_are_keys =
        file.find(fmt::format("blk.{}.attn_v.weight", first_full - slides.begin())) == nullptr;
  }
  set_kinds(spec, slides, sliding, full);
  return {};
}

}  // namespace

Result<Spec> gemma4_spec(const formats::GgufFile& file) {
  Spec spec = gemma4_parts("gemma4");
  const Reader reader(file);
  DSPARK_RETURN_IF_ERROR(reader.refuse_extras());
  DSPARK_TRY(spec.layers, reader.size("block_count"));
  if (spec.layers < 1 || spec.layers > kMostLayers)
    return fail("{}: key gemma4.block_count: {}, expected 1 to {}", file.name(), spec.layers,
                kMostLayers);
  const std::vector<bool> all(static_cast<size_t>(spec.layers), false);
  DSPARK_TRY(spec.hidden, reader.size("embedding_length"));
  DSPARK_TRY(spec.ffn, reader.size_of("feed_forward_length", all, false));
  DSPARK_TRY(spec.heads, reader.size("attention.head_count"));
  DSPARK_TRY(spec.context, file.integer("gemma4.context_length"));
  DSPARK_TRY(const double eps, file.number("gemma4.attention.layer_norm_rms_epsilon"));
  spec.norm_eps = static_cast<float>(eps);
  DSPARK_TRY(const double cap, file.number("gemma4.final_logit_softcapping", 0.0));
  spec.logit_softcap = static_cast<float>(cap);
  DSPARK_RETURN_IF_ERROR(read_kinds(file, reader, spec));
  const TensorView* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2)
    return fail("{}: tensor token_embd.weight is missing or no matrix", file.name());
  spec.vocab = narrowed(embedding->rows());
  spec.tied_head = file.find("output.weight") == nullptr;
  DSPARK_RETURN_IF_ERROR(check_spec(spec, file.name()));
  return spec;
}

}  // namespace dspark::model

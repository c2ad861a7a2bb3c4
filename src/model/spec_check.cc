#include "model/spec_check.h"

#include <cmath>

namespace dspark::model {
namespace {

Status check_rope(const Rope& rope, int head_dim, const std::string& file) {
  if (rope.dim < 2 || rope.dim > head_dim || rope.dim % 2 != 0)
    return fail("{}: {} rotated dimensions, expected an even number up to the head size {}", file,
                rope.dim, head_dim);
  if (rope.pairs < 0 || rope.pairs > rope.dim / 2)
    return fail("{}: {} rotated pairs, expected at most {}", file, rope.pairs, rope.dim / 2);
  if (!(rope.theta > 1 && rope.theta < 1e15))
    return fail("{}: RoPE base {} is not above 1", file, rope.theta);
  if (rope.scaling != RopeScaling::kNone && !(rope.factor >= 1 && rope.factor < 1e6))
    return fail("{}: RoPE scaling factor {} is not at least 1", file, rope.factor);
  if (rope.scaling == RopeScaling::kLlama3 || rope.scaling == RopeScaling::kYarn)
    if (!(rope.original_context >= 1))
      return fail("{}: RoPE scaling lacks its original context length", file);
  if (rope.scaling == RopeScaling::kLlama3 &&
      !(rope.high_freq_factor > rope.low_freq_factor && rope.low_freq_factor > 0))
    return fail("{}: RoPE frequency factors {} and {} are not ascending", file,
                rope.low_freq_factor, rope.high_freq_factor);
  if (rope.scaling == RopeScaling::kYarn &&
      !(rope.beta_fast > rope.beta_slow && rope.beta_slow > 0))
    return fail("{}: YaRN betas {} and {} are not descending", file, rope.beta_fast,
                rope.beta_slow);
  return {};
}

struct Size {
  const char* what;
  int64_t value, most;
};
Status check_sizes(std::initializer_list<Size> sizes, const std::string& file) {
  for (const Size& size : sizes)
    if (size.value < 1 || size.value > size.most)
      return fail("{}: {} is {}, expected 1 to {}", file, size.what, size.value, size.most);
  return {};
}

}  // namespace

float AttentionKind::score_scale() const {
  return scale > 0 ? scale : static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
}

Status check_spec(const Spec& spec, const std::string& file) {
  constexpr int64_t kMostContext = int64_t{1} << 24;
  DSPARK_RETURN_IF_ERROR(check_sizes({{"layers", spec.layers, kMostLayers},
                                      {"hidden size", spec.hidden, 1 << 17},
                                      {"feed-forward size", spec.ffn, 1 << 19},
                                      {"query heads", spec.heads, 1024},
                                      {"vocabulary", spec.vocab, 1 << 22},
                                      {"context", spec.context, kMostContext}},
                                     file));
  for (const AttentionKind& kind : spec.kinds) {
    DSPARK_RETURN_IF_ERROR(check_sizes({{"key/value heads", kind.kv_heads, 1024},
                                        {"head size", kind.head_dim, compute::kMaxHeadDim}},
                                       file));
    if (spec.heads % kind.kv_heads != 0)
      return fail("{}: {} query heads are no multiple of {} key/value heads", file, spec.heads,
                  kind.kv_heads);
    if (kind.window < 0 || kind.window > kMostContext)
      return fail("{}: sliding window {}, expected 1 to {}", file, kind.window, kMostContext);
    if (!(kind.scale >= 0 && kind.scale < 1e3f))
      return fail("{}: attention scale {} is not in (0, 1000)", file, kind.scale);
    DSPARK_RETURN_IF_ERROR(check_rope(kind.rope, kind.head_dim, file));
  }
  if (!(spec.norm_eps >= 0 && spec.norm_eps < 1))
    return fail("{}: norm epsilon {} is not in [0, 1)", file, spec.norm_eps);
  if (!(spec.logit_softcap >= 0 && spec.logit_softcap < 1e6f))
    return fail("{}: logit soft cap {} is not in [0, 1000000)", file, spec.logit_softcap);
  return {};
}

}  // namespace dspark::model

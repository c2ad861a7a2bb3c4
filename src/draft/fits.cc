// Whether a drafter was made for a target.
#include "draft/drafter_file.h"

namespace dspark::draft {

Status check_fits(const DrafterConfig& drafter, const model::Spec& target,
                  std::string_view target_fingerprint) {
  const auto differs = [&](std::string_view what, const auto& made_for, const auto& found) {
    return fail("{}: drafter for another target: its {} {}, the target's {}", drafter.name, what,
                made_for, found);
  };
  if (drafter.decoder.hidden != target.hidden)
    return differs("hidden size is", drafter.decoder.hidden, target.hidden);
  if (drafter.decoder.vocab != target.vocab)
    return differs("vocabulary has", fmt::format("{} tokens", drafter.decoder.vocab), target.vocab);
  if (drafter.target_layers != 0 && drafter.target_layers != target.layers)
    return differs("target has", fmt::format("{} layers", drafter.target_layers), target.layers);
  if (drafter.target_layer_ids.back() > target.layers - 2)
    return fail("{}: drafter for another target: it taps layer {}, and the target has {} layers",
                drafter.name, drafter.target_layer_ids.back(), target.layers);
  if (!drafter.tokenizer_fingerprint.empty() && !target_fingerprint.empty() &&
      drafter.tokenizer_fingerprint != target_fingerprint)
    return differs("tokenizer's fingerprint is", drafter.tokenizer_fingerprint, target_fingerprint);
  return {};
}

}  // namespace dspark::draft

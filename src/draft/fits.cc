// Whether a drafter was made for a target.
#include "draft/drafter_file.h"

namespace dspark::draft {

Status check_fits(const DrafterConfig& drafter, const model::Spec& target,
                  std::string_view target_fingerprint) {
  std::vector<std::string> differences;
  const auto compare = [&](std::string_view what, const auto& made_for, const auto& found) {
    if (made_for != found)
      differences.push_back(fmt::format("{} {}, this one's is {}", what, made_for, found));
  };
  compare("hidden size", drafter.decoder.hidden, target.hidden);
  compare("vocabulary size", drafter.decoder.vocab, target.vocab);
  if (drafter.target_layers != 0) compare("number of layers", drafter.target_layers, target.layers);
  // The last layer's output is no tap: what the drafter was trained on is behind the norm or not.
  if (drafter.target_layer_ids.back() > target.layers - 2)
    differences.push_back(fmt::format("it taps layer {}, this one has {} layers",
                                      drafter.target_layer_ids.back(), target.layers));
  if (!drafter.tokenizer_fingerprint.empty() && !target_fingerprint.empty())
    compare("tokenizer", drafter.tokenizer_fingerprint, target_fingerprint);
  if (differences.empty()) return {};
  return fail("{}: made for another target: {}", drafter.name, fmt::join(differences, "; "));
}

}  // namespace dspark::draft

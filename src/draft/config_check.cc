#include "draft/config_check.h"

namespace dspark::draft {
namespace {

Status check_taps(const DrafterConfig& config, const std::string& file) {
  const std::vector<int>& taps = config.target_layer_ids;
  if (taps.empty() || static_cast<int64_t>(taps.size()) > kMaxTaps)
    return fail("{}: {} target layer ids, expected 1 to {}", file, taps.size(), kMaxTaps);
  const int lowest = config.kind == Kind::kBlock ? -1 : 0;  // -1: the embedding output
  // The reference trains on the last layer's raw output and evaluates on its normalised one.
  const int highest = config.target_layers > 0 ? config.target_layers - 2 : 1 << 20;
  for (size_t i = 0; i < taps.size(); ++i) {
    if (taps[i] < lowest || taps[i] > highest)
      return fail("{}: target layer id {}, expected {} to {} of a target of {} layers", file,
                  taps[i], lowest, highest, config.target_layers);
    if (i > 0 && taps[i] <= taps[i - 1])
      return fail("{}: target layer ids [{}] are not ascending", file, fmt::join(taps, ", "));
  }
  return {};
}

Status check_block(const DrafterConfig& config, const std::string& file) {
  const int least = config.anchor_predicts ? 1 : 2;
  if (config.block_size < least || config.block_size > kMaxBlock)
    return fail("{}: block size {}, expected {} to {}", file, config.block_size, least, kMaxBlock);
  if (config.mask_token_id < 0 || config.mask_token_id >= config.decoder.vocab)
    return fail("{}: mask token {} is not in the vocabulary of {}", file, config.mask_token_id,
                config.decoder.vocab);
  if (config.markov_rank < 0 || config.markov_rank > kMaxRank)
    return fail("{}: Markov rank {}, expected 0 to {}", file, config.markov_rank, kMaxRank);
  if ((config.markov_rank > 0) != (config.markov_head != MarkovHead::kNone))
    return fail("{}: Markov rank {} {} a Markov head", file, config.markov_rank,
                config.markov_rank > 0 ? "without" : "for");
  if (config.confidence_with_markov && !config.confidence_head)
    return fail("{}: a Markov input for a confidence head that is absent", file);
  if (config.confidence_with_markov && config.markov_rank == 0)
    return fail("{}: the confidence head reads a Markov head, and there is none", file);
  return {};
}

Status check_vocabulary(const DrafterConfig& config, const std::string& file) {
  const int vocab = config.decoder.vocab;
  if (config.draft_vocab < 1 || config.draft_vocab > vocab)
    return fail("{}: draft vocabulary of {}, expected 1 to the vocabulary's {}", file,
                config.draft_vocab, vocab);
  if (config.candidates < 0 || config.candidates > config.draft_vocab)
    return fail("{}: {} candidates, expected 0 to the draft vocabulary's {}", file,
                config.candidates, config.draft_vocab);
  if (config.d2t.empty() && config.draft_vocab != vocab)
    return fail("{}: a draft vocabulary of {} of {} tokens lacks its map d2t", file,
                config.draft_vocab, vocab);
  if (!config.d2t.empty() && config.d2t.size() != static_cast<size_t>(config.draft_vocab))
    return fail("{}: d2t has {} rows, expected {}", file, config.d2t.size(), config.draft_vocab);
  for (size_t row = 0; row < config.d2t.size(); ++row) {
    const int32_t id = config.d2t[row];
    if (id < 0 || id >= vocab)
      return fail("{}: d2t, row {}: {} is not in the vocabulary of {}", file, row, id, vocab);
    if (row > 0 && id <= config.d2t[row - 1])
      return fail("{}: d2t, row {}: {} after {}, expected ascending ids", file, row, id,
                  config.d2t[row - 1]);
  }
  return {};
}

}  // namespace

Status check_config(const DrafterConfig& config, const std::string& file) {
  if (config.target_layers < 0 || config.target_layers > 1024)
    return fail("{}: a target of {} layers, expected 1 to 1024", file, config.target_layers);
  DSPARK_RETURN_IF_ERROR(check_taps(config, file));
  DSPARK_RETURN_IF_ERROR(check_vocabulary(config, file));
  if (config.kind == Kind::kBlock) return check_block(config, file);
  if (config.ttt_length < 1 || config.ttt_length > kMaxBlock)
    return fail("{}: {} drafts a cycle, expected 1 to {}", file, config.ttt_length, kMaxBlock);
  if (config.decoder.layers != 1)
    return fail("{}: {} draft layers, expected 1 for Eagle3", file, config.decoder.layers);
  return {};
}

}  // namespace dspark::draft

#include "train/plan.h"

namespace dspark::train {
namespace {

using draft::DrafterConfig;

Result<int32_t> mask_token(const Recipe& recipe, const tokenizer::Tokenizer& tokenizer,
                           const learn::TokenCounts& counts) {
  const std::string& text = recipe.mask_token;
  const bool is_id = text.find_first_not_of("0123456789") == std::string::npos && text.size() < 9;
  const std::vector<int32_t> ids =
      is_id ? std::vector<int32_t>{std::atoi(text.c_str())}
            : tokenizer.encode(text, tokenizer::Tokenizer::Specials::kParse);
  if (ids.size() != 1 || ids[0] >= counts.vocab())
    return fail("drafter.mask_token: \"{}\" is not one token of the target", text);
  if (const int64_t n = counts.counts()[static_cast<size_t>(ids[0])]; n > 0)
    return fail(
        "drafter.mask_token: \"{}\" comes {} times in the corpus; expected a token that no "
        "data has",
        text, n);
  return ids[0];
}

draft::MarkovHead head_of(const std::string& name) {
  return name == "gated" ? draft::MarkovHead::kGated
         : name == "rnn" ? draft::MarkovHead::kRnn
                         : draft::MarkovHead::kVanilla;
}

}  // namespace

Result<DrafterConfig> plan_drafter(const Recipe& recipe, const std::filesystem::path& path,
                                   const tokenizer::Tokenizer& tokenizer,
                                   const learn::TokenCounts& counts) {
  DSPARK_TRY(const auto file, model::WeightFile::open(path));
  const model::Spec& target = file.spec();
  const bool chain = recipe.kind == "eagle3";
  DrafterConfig c;
  c.name = "the recipe's drafter";
  c.kind = chain ? draft::Kind::kEagle3 : draft::Kind::kBlock;
  c.decoder = draft::draft_layers(target, static_cast<int>(recipe.layers), recipe.ffn);
  c.decoder.pairs_embedding = chain;
  c.tokenizer_fingerprint = tokenizer.fingerprint();
  c.target_layers = target.layers;
  c.target_layer_ids = recipe.taps.empty()
                           ? draft::usual_taps(target.layers)
                           : std::vector<int>(recipe.taps.begin(), recipe.taps.end());
  if (chain) {
    c.ttt_length = static_cast<int>(recipe.block);
  } else {
    c.block_size = static_cast<int>(recipe.block);
    DSPARK_TRY(c.mask_token_id, mask_token(recipe, tokenizer, counts));
  }
  if (recipe.kind == "dspark") {
    c.markov_head = head_of(recipe.markov);
    c.markov_rank = static_cast<int>(recipe.rank);
    c.confidence_head = c.confidence_with_markov = recipe.confidence;
    c.candidates = static_cast<int>(recipe.candidates);
  }
  c.draft_vocab = target.vocab;
  if (recipe.draft_vocab > 0 && recipe.draft_vocab < target.vocab) {
    c.draft_vocab = static_cast<int>(recipe.draft_vocab);
    c.d2t = learn::draft_vocabulary(counts, c.draft_vocab);
  }
  DSPARK_RETURN_IF_ERROR(draft::check_fits(c, target, c.tokenizer_fingerprint));
  return c;
}

}  // namespace dspark::train

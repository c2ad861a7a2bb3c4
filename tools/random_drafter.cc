// Writes a drafter with random weights, in our own form, for any target: for speed measurements,
// and for tests that need drafts which are nearly always wrong.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "draft/design.h"
#include "draft/draft.h"
#include "draft/dspark_keys.h"
#include "draft/tensor_table.h"
#include "random_blocks.h"
#include "tokenizer/tokenizer.h"

namespace dspark {
namespace {

using draft::DrafterConfig;
using draft::MarkovHead;

struct Arguments {
  std::string target, out;
  int layers = 2, block = 7, rank = 256, draft_vocab = 0, candidates = 0;
  int64_t ffn = 0, mask = -1;
  std::string markov = "vanilla", spread = "even", type = "q8_0", head, markov_type;
  std::vector<int> taps;
  bool confidence = false, eagle3 = false, masks_only = false, no_qk_norm = false;
  uint64_t seed = 0;
};

MarkovHead head_from_name(const std::string& name) {
  return name == "vanilla" ? MarkovHead::kVanilla
         : name == "gated" ? MarkovHead::kGated
         : name == "rnn"   ? MarkovHead::kRnn
                           : MarkovHead::kNone;
}

std::vector<int32_t> draft_ids(int64_t count, int64_t vocab, bool even) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(even ? i * vocab / count : i));
  return ids;
}

Result<DrafterConfig> config_for(const Arguments& a) {
  DSPARK_TRY(const auto file, model::WeightFile::open(a.target));
  const model::Spec& target = file.spec();
  DrafterConfig c;
  c.kind = a.eagle3 ? draft::Kind::kEagle3 : draft::Kind::kBlock;
  c.decoder = draft::draft_layers(target, a.eagle3 ? 1 : a.layers, a.ffn);
  c.decoder.qk_norm = !a.no_qk_norm;
  c.decoder.pairs_embedding = a.eagle3;
  if (auto tokens = tokenizer::Tokenizer::open(a.target); tokens.ok())
    c.tokenizer_fingerprint = tokens->fingerprint();
  c.target_layers = target.layers;
  c.target_layer_ids = a.taps.empty() ? draft::usual_taps(target.layers) : a.taps;
  if (a.eagle3) {
    c.ttt_length = a.block;
  } else {
    c.block_size = a.block;
    c.mask_token_id = static_cast<int32_t>(a.mask < 0 ? target.vocab - 1 : a.mask);
    c.anchor_predicts = !a.masks_only;
    c.markov_head = head_from_name(a.markov);
    c.markov_rank = c.markov_head == MarkovHead::kNone ? 0 : a.rank;
    c.confidence_head = a.confidence;
    c.confidence_with_markov = a.confidence && c.markov_rank > 0;
  }
  c.candidates = a.candidates;
  c.draft_vocab = a.draft_vocab > 0 ? std::min(a.draft_vocab, target.vocab) : target.vocab;
  if (c.draft_vocab < target.vocab)
    c.d2t = draft_ids(c.draft_vocab, target.vocab, a.spread == "even");
  return c;
}

// The type of a tensor of the file; empty for one that is left to the target.
std::optional<DType> type_of(const draft::TensorSlot& slot, const Arguments& a) {
  if (slot.name == "embed_tokens.weight") return std::nullopt;
  if (slot.name == "lm_head.weight") return a.head.empty() ? std::nullopt : dtype_from_name(a.head);
  if (!slot.is_matrix) return DType::kF32;
  const bool of_markov = slot.name.starts_with("markov_head.") && !a.markov_type.empty();
  return dtype_from_name(of_markov ? a.markov_type : a.type);
}

Status write_weights(const draft::TensorSlot& slot, DType type, RandomBits& bits,
                     formats::GgufWriter& writer) {
  int64_t values = 1;
  for (const int64_t extent : slot.shape) values *= extent;
  if (!slot.is_matrix && slot.name.find("norm") != std::string::npos) {
    const std::vector<float> ones(static_cast<size_t>(values), 1.0f);
    return writer.write_tensor(ones.data(), ones.size() * sizeof(float));
  }
  std::vector<uint8_t> bytes(dtype_bytes(type, static_cast<size_t>(values)));
  random_weights(type, static_cast<size_t>(values), bits, bytes.data());
  return writer.write_tensor(bytes.data(), bytes.size());
}

Status write_drafter(const Arguments& a) {
  DSPARK_TRY(const DrafterConfig config, config_for(a));
  formats::GgufWriter writer(a.out);
  draft::set_dspark_keys(config, writer);
  writer.set("general.name", std::string("drafter with random weights"));
  if (!config.d2t.empty()) writer.declare(draft::kD2tTensor, DType::kI32, {config.draft_vocab});
  const std::vector<draft::TensorSlot> slots = draft::tensor_table(config);
  for (const draft::TensorSlot& slot : slots)
    if (const auto type = type_of(slot, a)) writer.declare(slot.gguf_name, *type, slot.shape);
  DSPARK_RETURN_IF_ERROR(writer.begin());
  if (!config.d2t.empty())
    DSPARK_RETURN_IF_ERROR(
        writer.write_tensor(config.d2t.data(), config.d2t.size() * sizeof(int32_t)));
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto type = type_of(slots[i], a);
    if (!type) continue;
    RandomBits bits(RandomBits(a.seed).next() + RandomBits(i).next());
    DSPARK_RETURN_IF_ERROR(write_weights(slots[i], *type, bits, writer));
  }
  DSPARK_RETURN_IF_ERROR(writer.finish());
  // What cannot be read back was asked for wrongly: taps out of order, a mask token too large.
  const auto written = draft::DrafterFile::open(a.out);
  return written.ok() ? Status() : Status(written.error());
}

int run(int argc, char** argv) {
  std::vector<std::string> types;
  for (int i = 0; i <= static_cast<int>(DType::kQ6_K); ++i)
    types.emplace_back(dtype_info(static_cast<DType>(i)).name);
  const auto type = CLI::IsMember(types, CLI::ignore_case);
  CLI::App app{"Writes a drafter with random weights for a target.", "random_drafter"};
  Arguments a;
  app.add_option("TARGET", a.target, "The target: a GGUF file or a Hugging Face directory")
      ->required();
  app.add_option("OUT", a.out, "The drafter to write, a GGUF file")->required();
  app.add_option("--layers", a.layers, "Draft layers")->capture_default_str();
  app.add_option("--ffn", a.ffn, "Feed-forward size; 0: the target's")->capture_default_str();
  app.add_option("--taps", a.taps, "Target layer ids, as 1,8,15")->delimiter(',');
  app.add_option("--block", a.block, "Inputs of a block; drafts of a cycle for Eagle3")
      ->capture_default_str();
  app.add_option("--mask", a.mask, "Mask token; -1: the last id")->capture_default_str();
  app.add_flag("--masks-only", a.masks_only, "The original DFlash: the anchor predicts nothing");
  app.add_option("--markov", a.markov, "Markov head")
      ->check(CLI::IsMember({"vanilla", "gated", "rnn", "none"}))
      ->capture_default_str();
  app.add_option("--rank", a.rank, "Its rank")->capture_default_str();
  app.add_option("--candidates", a.candidates, "Its bias for so many tokens of a slot; 0: all")
      ->capture_default_str();
  app.add_flag("--confidence", a.confidence, "A confidence head");
  app.add_option("--draft-vocab", a.draft_vocab, "Tokens that it can draft; 0: all")
      ->capture_default_str();
  app.add_option("--spread", a.spread, "Which tokens: evenly over the vocabulary, or the first")
      ->check(CLI::IsMember({"even", "first"}))
      ->capture_default_str();
  app.add_option("--type", a.type, "Type of the matrices")->check(type)->capture_default_str();
  app.add_option("--markov-type", a.markov_type, "Type of the Markov head's, where another")
      ->check(type);
  app.add_option("--head", a.head, "Type of an output head of its own; without: the target's")
      ->check(type);
  app.add_flag("--eagle3", a.eagle3, "An Eagle3 drafter");
  app.add_flag("--no-qk-norm", a.no_qk_norm,
               "Queries and keys as they are, as in llama.cpp's Eagle3");
  app.add_option("--seed", a.seed, "The same seed gives the same file")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Status status = write_drafter(a);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  return 1;
}

}  // namespace
}  // namespace dspark

int main(int argc, char** argv) { return dspark::run(argc, argv); }

#include "apps/info_model.h"

#include <algorithm>

namespace dspark::apps {
namespace {

void describe_block(InfoText& out, const draft::DrafterConfig& c) {
  out.field("block", fmt::format("{} inputs, {} drafts: the anchor's slot {}", c.block_size,
                                 c.slots(), c.anchor_predicts ? "predicts" : "does not predict"));
  out.field("mask token", c.mask_token_id);
  out.field("Markov head", c.markov_rank == 0
                               ? std::string("none")
                               : fmt::format("{}, rank {}", draft::markov_head_name(c.markov_head),
                                             c.markov_rank));
  out.field("confidence head", !c.confidence_head         ? "none"
                               : c.confidence_with_markov ? "yes, reads the Markov head too"
                                                          : "yes");
}

std::string vocabulary_text(const draft::DrafterConfig& c) {
  if (c.d2t.empty()) return fmt::format("all {} tokens", c.decoder.vocab);
  return fmt::format("{} of {} tokens, ids {} to {}", c.draft_vocab, c.decoder.vocab, c.d2t.front(),
                     c.d2t.back());
}

void describe_attention(InfoText& out, const model::Spec& s, int index) {
  const model::AttentionKind& kind = s.kinds[static_cast<size_t>(index)];
  const model::Rope& rope = kind.rope;
  std::string layers;
  if (s.kinds.size() > 1)
    layers = fmt::format(" in {} layers", std::count(s.kind_of_layer.begin(), s.kind_of_layer.end(),
                                                     static_cast<uint8_t>(index)));
  out.field("heads",
            fmt::format("{} query, {} key/value, {} wide{}{}", s.heads, kind.kv_heads,
                        kind.head_dim, kind.values_are_keys ? ", values from keys" : "", layers));
  if (kind.window > 0) out.field("window", kind.window);
  out.field("rope", fmt::format("theta {}, {} dimensions{}{}", rope.theta,
                                rope.pairs > 0 ? 2 * rope.pairs : rope.dim,
                                s.interleaved_rope ? ", interleaved rows" : "",
                                rope.scaling == model::RopeScaling::kNone
                                    ? std::string()
                                    : fmt::format(", scaled by {}", rope.factor)));
}

void describe_spec(InfoText& out, const Result<model::Spec>& spec) {
  if (!spec) return out.line("this build does not run it: " + printable(spec.message()));
  const model::Spec& s = spec.value();
  out.field("family", model::family_name(s.family));
  out.field("layers", s.layers);
  out.field("hidden", s.hidden);
  out.field("feed-forward", s.ffn);
  for (size_t k = 0; k < s.kinds.size(); ++k) describe_attention(out, s, static_cast<int>(k));
  out.field("vocabulary", s.vocab);
  out.field("context", s.context);
  out.field("norm epsilon", s.norm_eps);
}

// What the confidences were made true with, and on what.
void describe_calibrations(InfoText& out, const draft::DrafterConfig& c) {
  if (!c.confidence_head) return;
  out.heading("calibrations");
  if (c.calibrations.empty()) return out.line("none: confidences are raw");
  for (const draft::StoredCalibration& stored : c.calibrations) {
    const verify::Calibration& calibration = stored.fit.calibration;
    std::vector<std::string> files;
    for (const auto& data : stored.data) files.push_back(printable(data.name));
    out.field(fmt::format("{}, temperature {}", verify::mode_name(stored.fit.mode),
                          stored.fit.temperature),
              verify::form_name(verify::form_of(calibration)));
    out.field("  slots' temperatures",
              fmt::format("{:.3f}", fmt::join(calibration.temperatures, " ")));
    if (!calibration.offsets.empty())
      out.field("  slots' offsets", fmt::format("{:.3f}", fmt::join(calibration.offsets, " ")));
    if (!calibration.weights.empty())
      out.field("  slots' weights", fmt::format("{:.3f}", fmt::join(calibration.weights, " ")));
    out.field("  fitted on", fmt::format("{} cycles, {} prompts of {}", stored.cycles,
                                         stored.prompts, fmt::join(files, ", ")));
    out.field("  target",
              fmt::format("{}, {}", printable(stored.target), printable(stored.target_xxh3)));
    out.field("  program", printable(stored.program));
  }
}

}  // namespace

void describe_model(InfoText& out, const Result<model::Spec>& spec) {
  describe_spec(out, spec);
  if (spec) out.field("output head", spec.value().tied_head ? "the embedding" : "its own");
}

void describe_drafter(InfoText& out, const Result<draft::DrafterFile>& file) {
  if (!file) return out.line(printable(file.message()));
  const draft::DrafterConfig& c = file.value().config();
  const bool eagle3 = c.kind == draft::Kind::kEagle3;
  out.field("kind", eagle3 ? "Eagle3" : c.markov_rank > 0 ? "DSpark" : "DFlash");
  if (eagle3)
    out.field("drafts a cycle", c.ttt_length);
  else
    describe_block(out, c);
  out.field("draft vocabulary", vocabulary_text(c));
  if (c.candidates > 0) out.field("candidates of a slot", c.candidates);
  const auto whose = [&](const char* tensor, const char* borrowed) {
    return file.value().find(tensor) != nullptr ? "its own" : borrowed;
  };
  out.field("embedding", whose("embed_tokens.weight", "the target's"));
  out.field("head", whose("lm_head.weight",
                          c.d2t.empty() ? "the target's" : "the target's rows of these tokens"));
  out.field("taps", fmt::format("behind target layers {} (-1: the embedding)",
                                fmt::join(c.target_layer_ids, ", ")));
  out.field("target layers",
            c.target_layers > 0 ? fmt::format("{}", c.target_layers) : std::string("not stored"));
  out.field("target's tokenizer", c.tokenizer_fingerprint.empty()
                                      ? std::string("not stored")
                                      : printable(c.tokenizer_fingerprint));
  describe_calibrations(out, c);
  out.heading("draft layers");
  describe_spec(out, c.decoder);
}

}  // namespace dspark::apps

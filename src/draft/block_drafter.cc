#include "draft/block_drafter.h"

namespace dspark::draft {

void list_context(std::span<const ContextRows> rows, int64_t feature_width,
                  std::vector<model::Segment>& segments, std::vector<const float*>& features) {
  for (const ContextRows& r : rows) {
    if (r.rows == 0) continue;
    segments.push_back(
        {r.sequence, static_cast<int>(features.size()), r.rows, r.position, false, r.seen_from});
    for (int i = 0; i < r.rows; ++i) features.push_back(r.features + i * feature_width);
  }
}

BlockDrafter::BlockDrafter(std::unique_ptr<DrafterModel> model, const Place& place)
    : model_(std::move(model)),
      place_(place),
      forward_(model_->decoder, *place.kernels, *place.pool, *place.pages,
               {std::max(place.context_rows, place.requests * model_->config.block_size),
                place.requests * model_->config.slots(), place.context + model_->config.block_size},
               place.first_layer),
      hidden_(static_cast<size_t>(place.requests) * static_cast<size_t>(model_->config.slots()) *
              static_cast<size_t>(model_->decoder.spec.hidden)) {
  for (int t = 0; t < place.pool->threads(); ++t) heads_.emplace_back(*model_, *place.kernels);
  for (int i = 0; i < place.requests * model_->config.slots(); ++i)
    slots_.push_back({SlotRow(model_->config)});
}

void BlockDrafter::absorb(std::span<const ContextRows> rows) {
  segments_.clear(), features_.clear();
  list_context(rows, model_->decoder.features.columns, segments_, features_);
  if (!features_.empty()) forward_.run_context({segments_, features_});
}

void BlockDrafter::draft(std::span<const BlockRequest> requests) {
  context_.clear();
  for (const BlockRequest& request : requests) context_.push_back(request.context);
  absorb(context_);
  run_block(requests);
  // Candidates of all slots are chosen side by side, then each request's slots drawn in order.
  const int threads = place_.pool->threads();
  place_.pool->run([&](int thread) {
    for (size_t i = static_cast<size_t>(thread); i < logit_rows_.size();
         i += static_cast<size_t>(threads)) {
      const bool computed = forward_.row_ok(logit_rows_[i]);
      Slot& slot = slots_[i];
      slot.sound = computed && slot.row.start(forward_.logits(static_cast<int>(i)), drawn_[i] != 0);
      if (slot.sound) heads_[static_cast<size_t>(thread)].ask_for(slot.row.indices());
    }
    place_.pool->barrier();
    for (size_t r = static_cast<size_t>(thread); r < requests.size();
         r += static_cast<size_t>(threads))
      draw_slots(requests[r], static_cast<int>(r), heads_[static_cast<size_t>(thread)]);
  });
}

// Block inputs are the anchor and masks; only the wanted slots reach the head.
void BlockDrafter::run_block(std::span<const BlockRequest> requests) {
  const DrafterConfig& c = model_->config;
  const int first_output = c.anchor_predicts ? 0 : 1;
  segments_.clear(), tokens_.clear(), logit_rows_.clear(), first_logit_.clear(), drawn_.clear();
  for (const BlockRequest& request : requests) {
    CHECK(request.slots >= 1 && request.slots <= slots(), "{} slots of {}", request.slots, slots());
    const auto first = static_cast<int>(tokens_.size());
    segments_.push_back({request.context.sequence, first, c.block_size, request.anchor(), true,
                         request.context.seen_from});
    tokens_.push_back(request.tokens.back());
    tokens_.insert(tokens_.end(), static_cast<size_t>(c.block_size - 1), c.mask_token_id);
    first_logit_.push_back(logit_rows_.size());
    for (int s = 0; s < request.slots; ++s) logit_rows_.push_back(first + first_output + s);
    drawn_.resize(logit_rows_.size(), request.sampler->params().temperature > 0 ? 1 : 0);
  }
  model::Batch batch{tokens_, segments_, logit_rows_, {}};
  batch.normed = hidden_.data();
  forward_.run(batch);
}

const float* BlockDrafter::hidden_of(int request, int slot) const {
  return hidden_.data() + (first_logit(request) + static_cast<size_t>(slot)) *
                              static_cast<size_t>(model_->decoder.spec.hidden);
}

std::span<const float> BlockDrafter::base_logits(int request, int slot) const {
  return forward_.logits(static_cast<int>(first_logit(request)) + slot);
}

void BlockDrafter::draw_slots(const BlockRequest& request, int index, SequentialHeads& heads) {
  Block& out = *request.out;
  out.clear();
  AssumedDrafts assumed(*request.sampler, out.ids);
  heads.start();
  int32_t previous = request.tokens.back();
  for (int s = 0; s < request.slots; ++s) {
    Slot& slot = slots_[first_logit(index) + static_cast<size_t>(s)];
    if (!slot.sound) {
      out.fault = fmt::format("slot {}: a value is not finite", s);
      return;
    }
    heads.step(hidden_of(index, s), previous);
    if (has_confidence() && !std::isfinite(heads.confidence_logit())) {
      out.fault = fmt::format("slot {}: the confidence is not finite", s);
      return;
    }
    heads.correct(slot.row.indices(), slot.row.logits());
    const Result<bool> drawn = slot.row.draw(request, s);
    if (!drawn.ok()) out.fault = fmt::format("slot {}: {}", s, drawn.message());
    if (!drawn.ok() || !drawn.value()) return;
    if (has_confidence()) out.confidence.push_back(heads.confidence_logit());
    out.certainty.push_back(slot.row.certainty());
    previous = out.ids.back();
    assumed.push_next();
  }
}

}  // namespace dspark::draft

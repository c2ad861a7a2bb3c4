#include "draft/eagle3.h"

#include <algorithm>

#include "draft/block_drafter.h"

namespace dspark::draft {

Eagle3::Eagle3(std::unique_ptr<DrafterModel> model, const Place& place)
    : model_(std::move(model)),
      place_(place),
      forward_(model_->decoder, *place.kernels, *place.pool, *place.pages,
               {std::max(place.context_rows, place.requests), place.requests,
                place.context + model_->config.ttt_length},
               place.first_layer),
      output_tap_{model_->decoder.spec.layers - 1},
      outputs_(static_cast<size_t>(std::max(place.context_rows, place.requests)) * hidden()),
      last_(static_cast<size_t>(place.requests) * hidden()) {
  for (int t = 0; t < place.pool->threads(); ++t) rows_.emplace_back(model_->config);
}

void Eagle3::start_call() {
  segments_.clear(), tokens_.clear(), features_.clear(), hidden_.clear(), logit_rows_.clear();
}

void Eagle3::list_rows(std::span<const ContextRows> rows) {
  list_context(rows, model_->decoder.features.columns, segments_, features_);
  for (const ContextRows& r : rows)
    for (int i = 0; i < r.rows; ++i) tokens_.push_back(r.tokens[static_cast<size_t>(i) + 1]);
}

void Eagle3::run() {
  model::Batch batch{tokens_, segments_, logit_rows_, output_tap_, outputs_.data()};
  batch.features = features_;
  batch.hidden = hidden_;
  forward_.run(batch);
}

void Eagle3::absorb(std::span<const ContextRows> rows) {
  start_call();
  list_rows(rows);
  if (!tokens_.empty()) run();
}

std::span<const float> Eagle3::output(size_t i) const {
  return {outputs_.data() + static_cast<size_t>(logit_rows_[i]) * hidden(), hidden()};
}

void Eagle3::draft(std::span<const BlockRequest> requests) {
  start_call();
  context_.clear();
  for (const BlockRequest& request : requests) {
    request.out->clear();
    CHECK(request.context.rows >= 1, "no newest row");
    context_.push_back(request.context);
  }
  list_rows(context_);
  active_.clear();
  for (size_t r = 0; r < requests.size(); ++r) {
    active_.push_back(r);
    logit_rows_.push_back(segments_[r].first_row + segments_[r].rows - 1);
  }
  for (int slot = 0; !active_.empty(); ++slot) {
    run();
    if (observer_ && active_[0] == 0) observer_(slot, output(0), forward_.logits(0));
    place_.pool->run([&](int thread) { draw_slot(requests, slot, thread); });
    next_rows(requests, slot);
  }
  for (const BlockRequest& request : requests)  // draw_slot left them pushed
    for (size_t i = request.out->ids.size(); i-- > 0;) request.sampler->pop(request.out->ids[i]);
}

void Eagle3::draw_slot(std::span<const BlockRequest> requests, int slot, int thread) {
  SlotRow& row = rows_[static_cast<size_t>(thread)];
  for (size_t i = static_cast<size_t>(thread); i < active_.size();
       i += static_cast<size_t>(place_.pool->threads())) {
    const BlockRequest& request = requests[active_[i]];
    Block& out = *request.out;
    const bool drawn = request.sampler->params().temperature > 0;
    if (!forward_.row_ok(logit_rows_[i]) ||
        !row.start(forward_.logits(static_cast<int>(i)), drawn)) {
      out.fault = fmt::format("slot {}: a value is not finite", slot);
      continue;
    }
    if (const Result<bool> drawn = row.draw(request, slot); !drawn.ok()) {
      out.fault = fmt::format("slot {}: {}", slot, drawn.message());
    } else if (drawn.value()) {
      out.certainty.push_back(row.certainty());
      request.sampler->push(out.ids.back());
    }
  }
}

// The drafts just drawn become rows, but for requests that have all they want.
void Eagle3::next_rows(std::span<const BlockRequest> requests, int slot) {
  size_t left = 0;
  next_segments_.clear(), tokens_.clear(), hidden_.clear(), features_.clear();
  for (size_t i = 0; i < active_.size(); ++i) {
    const BlockRequest& request = requests[active_[i]];
    const Block& out = *request.out;
    const bool ended = static_cast<int>(out.ids.size()) <= slot;
    if (!out.fault.empty() || ended || slot + 1 >= request.slots) continue;
    const int32_t id = out.ids.back();
    if (std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end())
      continue;
    float* row = last_.data() + left * hidden();
    const auto from = output(i);
    std::copy(from.begin(), from.end(), row);
    next_segments_.push_back({request.context.sequence, static_cast<int>(left), 1,
                              request.anchor() + slot, false, request.context.seen_from});
    tokens_.push_back(id);
    hidden_.push_back(row);
    active_[left++] = active_[i];
  }
  active_.resize(left);
  segments_.swap(next_segments_);
  logit_rows_.clear();
  for (size_t i = 0; i < left; ++i) logit_rows_.push_back(static_cast<int32_t>(i));
}

std::unique_ptr<Drafter> make_drafter(std::unique_ptr<DrafterModel> model, const Place& place) {
  if (model->config.kind == Kind::kEagle3) return std::make_unique<Eagle3>(std::move(model), place);
  return std::make_unique<BlockDrafter>(std::move(model), place);
}

}  // namespace dspark::draft

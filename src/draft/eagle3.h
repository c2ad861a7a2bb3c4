// Private to the room draft: Eagle3 (spec B.6, C.5), a chain. Row i pairs the target's features of
// token i with the embedding of token i + 1; what comes out predicts token i + 2 and is the next
// draft's hidden row.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "draft/drafter.h"
#include "draft/slot_rows.h"

namespace dspark::draft {

class Eagle3 : public Drafter {
 public:
  Eagle3(std::unique_ptr<DrafterModel> model, const Place& place);

  const std::string& name() const override { return model_->config.name; }
  int slots() const override { return model_->config.ttt_length; }
  int scratch_rows() const override { return model_->config.ttt_length; }
  std::span<const int> tap_layers() const override { return model_->config.target_layer_ids; }
  bool looks_ahead() const override { return true; }

  void absorb(std::span<const ContextRows> rows) override;
  void draft(std::span<const BlockRequest> requests) override;

  // For tests: called with the output [hidden] from which the first request draws a slot, before
  // the norm, and its logits.
  using Observer =
      std::function<void(int slot, std::span<const float> output, std::span<const float> logits)>;
  void observe_slots(Observer observer) { observer_ = std::move(observer); }

 private:
  size_t hidden() const { return static_cast<size_t>(model_->decoder.spec.hidden); }
  std::span<const float> output(size_t i) const;  // of the row with the i-th logits
  void start_call();
  void list_rows(std::span<const ContextRows> rows);
  void run();
  void draw_slot(std::span<const BlockRequest> requests, int slot, int thread);
  void next_rows(std::span<const BlockRequest> requests, int slot);

  std::unique_ptr<DrafterModel> model_;
  Place place_;
  model::Forward forward_;
  std::vector<int> output_tap_;
  std::vector<float> outputs_;  // [rows, hidden]: the layers' output, before the norm
  std::vector<float> last_;     // [requests, hidden]: the rows of the next step
  std::vector<SlotRow> rows_;   // by thread
  std::vector<size_t> active_;  // requests that want another draft
  std::vector<model::Segment> segments_, next_segments_;
  std::vector<int32_t> tokens_, logit_rows_;
  std::vector<const float*> features_, hidden_;
  std::vector<ContextRows> context_;
  Observer observer_;
};

}  // namespace dspark::draft

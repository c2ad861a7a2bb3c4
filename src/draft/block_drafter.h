// Private to the room draft: DSpark and DFlash (spec B.2). All slots of a block go through the
// draft layers at once, each seeing the context rows and the whole block; then light heads go
// through the slots one by one.
#pragma once

#include <memory>
#include <vector>

#include "draft/drafter.h"
#include "draft/heads.h"
#include "draft/slot_rows.h"

namespace dspark::draft {

class BlockDrafter : public Drafter {
 public:
  BlockDrafter(std::unique_ptr<DrafterModel> model, const Place& place);

  const std::string& name() const override { return model_->config.name; }
  int slots() const override { return model_->config.slots(); }
  int scratch_rows() const override { return model_->config.block_size; }
  std::span<const int> tap_layers() const override { return model_->config.target_layer_ids; }
  bool has_confidence() const override { return model_->config.confidence_head; }
  const std::vector<StoredCalibration>* calibrations() const override {
    return has_confidence() ? &model_->config.calibrations : nullptr;
  }

  void absorb(std::span<const ContextRows> rows) override;
  void draft(std::span<const BlockRequest> requests) override;

  // Of the last draft(), for tests: what the head read, [hidden], and its logits over the draft
  // vocabulary, of a request's slot.
  const float* hidden_of(int request, int slot) const;
  std::span<const float> base_logits(int request, int slot) const;
  const DrafterModel& model() const { return *model_; }

 private:
  // A slot of a call: its candidates, and whether its values are numbers.
  struct Slot {
    SlotRow row;
    bool sound = false;
  };
  void run_block(std::span<const BlockRequest> requests);
  void draw_slots(const BlockRequest& request, int request_index, SequentialHeads& heads);
  size_t first_logit(int request) const { return first_logit_[static_cast<size_t>(request)]; }

  std::unique_ptr<DrafterModel> model_;
  Place place_;
  model::Forward forward_;
  std::vector<SequentialHeads> heads_;  // by thread
  std::vector<Slot> slots_;             // of all requests of a call
  std::vector<float> hidden_;           // [slots of all requests, hidden]
  std::vector<size_t> first_logit_;     // by request: its first slot among all
  // A call's rows.
  std::vector<model::Segment> segments_;
  std::vector<int32_t> tokens_, logit_rows_;
  std::vector<uint8_t> drawn_;  // [logit rows]: of a request above temperature 0
  std::vector<const float*> features_;
  std::vector<ContextRows> context_;
};

// Segments and feature rows of some context rows, appended.
void list_context(std::span<const ContextRows> rows, int64_t feature_width,
                  std::vector<model::Segment>& segments, std::vector<const float*>& features);

}  // namespace dspark::draft

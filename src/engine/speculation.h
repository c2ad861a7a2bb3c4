// The engine's drafting: features on their way to the drafter, blocks, verify lengths. Private to
// the room engine.
#pragma once

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "draft/draft.h"
#include "engine/request.h"
#include "model/model.h"
#include "verify/verify.h"

namespace dspark::engine {

inline constexpr int kLag = 2;  // steps: how old the survival is that lagged planners go by

class Speculation {
 public:
  static Result<std::unique_ptr<Speculation>> create(std::unique_ptr<draft::Drafter> drafter,
                                                     const Options& options, const Info& target);
  // Most rows that one call hands to the drafter as context.
  static int most_context_rows(const Options& options);
  void allot(int step_rows);  // room for the features of a step
  // Some request wants its features.
  bool wants_features(std::span<ActiveRequest* const> requests) const;

  const draft::Drafter& drafter() const { return *drafter_; }
  const std::string& planner_name() const { return planner_name_; }
  Status set_planner(const std::string& planner);
  int slots() const { return slots_; }  // most drafts of a cycle
  int scratch_rows() const { return drafter_->scratch_rows(); }

  // Target layers whose outputs are wanted of every row of a step, and where they go: [step rows,
  // taps, hidden].
  std::span<const int> taps() const {
    return feature_width_ == 0 ? std::span<const int>() : drafter_->tap_layers();
  }
  float* features() { return features_.data(); }

  // The drafter is to have all rows of the request.
  bool wants_rows(const ActiveRequest& request) const;
  // A request enters the batch. Of the rows that its sequence holds the drafter has all, or, if not
  // has_rows, none.
  void join(ActiveRequest& request, bool has_rows) const;
  // What the drafter's file holds for requests with these parameters; nullptr: nothing.
  const verify::ModeCalibration* calibration(const sample::Params& sampling,
                                             verify::Mode mode) const;
  // What to warn of when the request runs; empty: nothing.
  std::string lack_of_calibration(const ActiveRequest& request) const;

  // Drafts for the requests that may, then decides how many drafts of each are verified. Leaves
  // block and verify_length in their DraftState. prompt_rows: rows of the step besides the
  // requests' own; predicted_ms: what all of them will take.
  void draft(std::span<ActiveRequest* const> decoding, int64_t context);
  verify::Plan plan(std::span<ActiveRequest* const> decoding, int prompt_rows,
                    double* predicted_ms);

  // How a cycle of the request went: of the first `considered` drafts `accepted` stood.
  void observe(ActiveRequest& request, int considered, int accepted);
  // What the step of these requests took: its rows, of them those of prompts, and how long without
  // drafts. only_decoding: there was no prompt's row, and no prompt came to its end.
  void learn_costs(std::span<ActiveRequest* const> decoding, int rows, int prompt_rows,
                   double target_ms, double draft_ms, bool only_decoding);
  const verify::CostTable& costs() const { return cost_; }
  // Of requests at temperature 0, or of the others that are verified as options say.
  const verify::OnlineConfidence& confidence(bool greedy) const {
    const size_t mode = greedy ? 0 : static_cast<size_t>(mode_);
    const bool only_looked_up = drafter_->looks_up() && online_[mode].observations() == 0;
    return online_[only_looked_up ? kModes + mode : mode];
  }

  // Of a step's segment the first `rows` rows were committed. Those of a prompt become the
  // drafter's in absorb(), others at the next draft; of a request that drafts none for long the
  // newest are kept, and what came before stays hidden from its drafts.
  void keep(ActiveRequest& request, const model::Segment& segment, int rows, bool of_prompt);
  void absorb();  // after all keep() of a step

 private:
  Speculation(std::unique_ptr<draft::Drafter> drafter, const Options& options, const Info& target);

  double cache_bytes(std::span<ActiveRequest* const> decoding) const;
  // Rows with logits that take as long as these of prompts.
  int priced(int prompt_rows) const {
    return static_cast<int>(std::lround(prompt_row_ * prompt_rows));
  }
  bool paced(const ActiveRequest& request) const {
    return paced_ && request.draft().planner == nullptr;
  }
  bool rests(const ActiveRequest& request) const {
    return paced(request) && !request.draft().pace.drafts();
  }
  int slots_of(const ActiveRequest& request, int64_t context) const;
  draft::ContextRows context_of(ActiveRequest& request, int rows) const;
  void take_in(ActiveRequest& request);
  static size_t most_pending_rows();
  void put_off(DraftState& state, const float* features, int64_t position, int rows) const;
  void estimate(ActiveRequest& request);
  static constexpr size_t kModes = 4;
  verify::OnlineConfidence& online(const ActiveRequest& request) {
    const size_t mode =
        request.sampling().temperature == 0 ? 0 : static_cast<size_t>(request.verify_mode(mode_));
    return online_[request.draft().block.matched > 0 ? kModes + mode : mode];
  }
  static verify::RequestBias& bias_of(DraftState& state) {
    return state.biases[state.block.matched > 0 ? 1 : 0];
  }
  verify::Planner& planner_of(std::span<ActiveRequest* const> decoding);

  std::unique_ptr<draft::Drafter> drafter_;
  std::vector<verify::ModeCalibration> calibrations_;
  std::unique_ptr<verify::Planner> planner_;
  // For steps with requests whose text depends on their drafts; null: planner_ may plan those, too.
  std::unique_ptr<verify::Planner> cautious_planner_;
  std::string planner_name_;
  verify::CostTable cost_;
  bool paced_ = false;  // requests that don't gain by computed drafts rest from them
  verify::UsualDrafts usual_;
  verify::Prospect prospect_;
  double position_bytes_;  // of the cache
  double prompt_row_;      // what a row without logits takes of one with them
  verify::Mode mode_;
  int slots_;
  size_t feature_width_;  // of a row; 0 where no features are wanted
  std::vector<float> features_;
  std::vector<draft::ContextRows> absorbing_;
  std::vector<draft::BlockRequest> blocks_;
  std::vector<ActiveRequest*> drafting_;  // whose blocks_ they are
  int computed_ = 0;                      // of the blocks: not looked up
  std::vector<verify::RequestView> views_;
  std::vector<int> lengths_;
  std::vector<verify::OnlineConfidence> online_;  // by mode; greedy: temperature 0, in any mode
};

}  // namespace dspark::engine

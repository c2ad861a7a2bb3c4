#include "engine/speculation.h"

#include <algorithm>
#include <cmath>

namespace dspark::engine {
namespace {

const verify::Calibration kRaw;

}  // namespace

Speculation::Speculation(std::unique_ptr<draft::Drafter> drafter, const Options& options,
                         const Info& target)
    : drafter_(std::move(drafter)),
      cost_(static_cast<double>(target.weight_bytes)),
      position_bytes_(static_cast<double>(target.position_bytes)),
      prompt_row_(
          static_cast<double>(target.layer_weights) /
          static_cast<double>(std::max<int64_t>(target.layer_weights + target.head_weights, 1))),
      mode_(options.verify),
      slots_(std::min(drafter_->slots(), options.draft_max)),
      feature_width_(drafter_->tap_layers().size() * static_cast<size_t>(target.hidden)) {
  if (options.costs) cost_.start_from(*options.costs);
  if (drafter_->calibrations() != nullptr)
    for (const draft::StoredCalibration& stored : *drafter_->calibrations())
      calibrations_.push_back(stored.fit);
  using Signal = verify::OnlineConfidence::Signal;
  // By mode; then the same of blocks that were looked up.
  for (const verify::Mode mode : {verify::Mode::kGreedy, verify::Mode::kCoupled,
                                  verify::Mode::kRejection, verify::Mode::kBlock}) {
    const double temperature = mode == verify::Mode::kGreedy ? 0 : 1;
    const bool calibrated = verify::matching_calibration(calibrations_, mode, temperature) >= 0;
    // How a request goes tells of its next greedy drafts; of drawn ones chance decides.
    const Signal believed = mode == verify::Mode::kGreedy ? Signal::kPersonal : Signal::kCalibrated;
    online_.emplace_back(slots_, calibrated                   ? believed
                                 : drafter_->has_confidence() ? Signal::kRaw
                                                              : Signal::kCertainty);
  }
  if (drafter_->looks_up())
    for (size_t mode = 0; mode < kModes; ++mode) online_.emplace_back(slots_, Signal::kRaw);
}

Result<std::unique_ptr<Speculation>> Speculation::create(std::unique_ptr<draft::Drafter> drafter,
                                                         const Options& options,
                                                         const Info& target) {
  std::unique_ptr<Speculation> made(new Speculation(std::move(drafter), options, target));
  DSPARK_RETURN_IF_ERROR(made->set_planner(options.planner));
  if (made->planner_name_ == "off") made->slots_ = 0;
  if (made->slots_ == 0) made->feature_width_ = 0;
  return made;
}

Status Speculation::set_planner(const std::string& planner) {
  verify::PlannerSpec spec{verify::ignores_drafts(mode_) ? verify::PlannerKind::kGlobal
                                                         : verify::PlannerKind::kCausal};
  const int most = std::max(slots_, 1);
  if (planner == "full") {
    spec = {verify::PlannerKind::kFixed, most, 0};
  } else if (planner != "auto") {
    DSPARK_TRY(spec, verify::parse_planner(planner));
  }
  if (spec.kind == verify::PlannerKind::kFixed && spec.length > slots_ && planner != "full") {
    log_warning("fixed:{}: {} drafts at most {} tokens, as many are verified", spec.length,
                drafter_->name(), slots_);
    spec.length = most;
  }
  DSPARK_TRY(planner_, verify::make_planner(spec, mode_));
  cautious_planner_.reset();
  if (spec.kind == verify::PlannerKind::kGlobal) {
    DSPARK_TRY(cautious_planner_, verify::make_planner({verify::PlannerKind::kCausal, 0, 0},
                                                       verify::Mode::kRejection));
  }
  paced_ = planner == "auto";
  planner_name_ = planner == "auto" ? "auto" : verify::planner_name(spec);
  return {};
}

void Speculation::join(ActiveRequest& request, bool has_rows) const {
  DraftState& state = request.draft();
  const verify::ModeCalibration* found =
      calibration(request.sampling(), request.verify_mode(mode_));
  state.calibration = found != nullptr ? &found->calibration : &kRaw;
  state.off = state.off || request.never_drafts();
  if (state.off) return;
  state.pace = verify::Pace(prospect_);
  if (request.own_planner()) {
    auto made = verify::make_planner(*request.own_planner(), mode_);
    CHECK(made.ok(), "{}", made.message());
    state.planner = std::move(made.value());
  }
  state.drafter_rows = request.sequence().length();
  state.seen_from = has_rows ? 0 : state.drafter_rows;
  state.drafter = drafter_->new_state();
  state.pending.resize(most_pending_rows() * feature_width_);
}

const verify::ModeCalibration* Speculation::calibration(const sample::Params& sampling,
                                                        verify::Mode mode) const {
  const int index =
      verify::matching_calibration(calibrations_, mode, static_cast<double>(sampling.temperature));
  return index < 0 ? nullptr : &calibrations_[static_cast<size_t>(index)];
}

std::string Speculation::lack_of_calibration(const ActiveRequest& request) const {
  const verify::Planner::Needs needs = planner_->needs();
  const verify::Mode mode = request.verify_mode(mode_);
  if (slots_ == 0 || request.never_drafts() || drafter_->calibrations() == nullptr ||
      calibration(request.sampling(), mode) != nullptr ||
      !(needs.confidence || needs.survival || needs.lagged_survival))
    return {};
  const bool greedy = request.sampling().temperature == 0;
  return fmt::format(
      "{}: uncalibrated for {} verification, so planner {} counts on what it learns of them "
      "on the way; `dspark calibrate` makes them true from the start",
      drafter_->name(), verify::mode_name(greedy ? verify::Mode::kGreedy : mode), planner_name_);
}

bool Speculation::wants_features(std::span<ActiveRequest* const> requests) const {
  return feature_width_ > 0 && std::any_of(requests.begin(), requests.end(),
                                           [](auto* request) { return !request->draft().off; });
}

bool Speculation::wants_rows(const ActiveRequest& request) const {
  return feature_width_ > 0 && !request.draft().off && !request.never_drafts();
}

// As many as its planner may verify and its answer has room for.
int Speculation::slots_of(const ActiveRequest& request, int64_t context) const {
  const DraftState& state = request.draft();
  const auto anchor = static_cast<int64_t>(request.tokens().size()) - 1;
  if (state.off || anchor + drafter_->scratch_rows() > request.sequence().capacity()) return 0;
  const verify::Planner& planner = state.planner != nullptr ? *state.planner : *planner_;
  return std::min({slots_, planner.most_length(), request.draft_room(context)});
}

void Speculation::draft(std::span<ActiveRequest* const> decoding, int64_t context) {
  blocks_.clear(), drafting_.clear();
  for (ActiveRequest* request : decoding) {
    DraftState& state = request->draft();
    state.block.clear();
    const int slots = slots_of(*request, context);
    if (slots <= 0) continue;
    state.pace.follow(prospect_);
    const bool rested = rests(*request);
    if (rested) state.pace.rested();
    if (rested && !drafter_->looks_up()) continue;
    if (!rested) take_in(*request);
    draft::BlockRequest block;
    block.context = context_of(*request, state.pending_rows);
    block.tokens = request->tokens();
    block.model_slots = rested ? 0 : paced(*request) ? state.length.next(slots) : slots;
    block.slots = drafter_->looks_up() ? slots : block.model_slots;
    block.sampler = &request->sampler();
    block.own_variates = !verify::ignores_drafts(request->verify_mode(mode_));
    block.stop_ids = request->stop_ids();
    block.out = &state.block;
    blocks_.push_back(block);
    drafting_.push_back(request);
  }
  if (!blocks_.empty()) drafter_->draft(blocks_);
  computed_ = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    DraftState& state = drafting_[i]->draft();
    if (blocks_[i].model_slots > 0 && state.block.matched == 0) {
      ++computed_;
      state.drafter_rows += state.pending_rows;
      state.pending_rows = 0;
    }
    if (state.block.fault.empty()) continue;
    log_warning("request {}: drafting is off, the text goes on without: {}", drafting_[i]->id(),
                state.block.fault);
    state.off = true;
    state.block.clear();
  }
}

// The block's confidences and survival, from the drafter's own or from its certainties.
void Speculation::estimate(ActiveRequest& request) {
  DraftState& state = request.draft();
  const draft::Block& block = state.block;
  const size_t n = state.block.ids.size();
  state.past_survival[1].swap(state.past_survival[0]);
  state.past_survival[0].assign(state.survival.begin(), state.survival.end());
  state.confidence.resize(n);
  state.survival.resize(n);
  state.signal.resize(n);
  double product = 1;
  for (size_t k = 0; k < n; ++k) {
    // Drafters of a host's own may have neither: then the slot alone tells.
    const float certainty = k < block.certainty.size() ? block.certainty[k] : 0;
    state.signal[k] =
        block.matched > 0 ? verify::calibrated_log_odds(block.confidence[k], certainty, kRaw, k)
        : drafter_->has_confidence()
            ? verify::calibrated_log_odds(block.confidence[k], certainty, *state.calibration, k)
            : static_cast<double>(certainty);
    state.confidence[k] =
        online(request).confidence(static_cast<int>(k), state.signal[k], bias_of(state));
    state.survival[k] = product *= state.confidence[k];
  }
}

verify::Planner& Speculation::planner_of(std::span<ActiveRequest* const> decoding) {
  const bool depends = std::any_of(decoding.begin(), decoding.end(), [&](auto* request) {
    return !request->draft().block.ids.empty() &&
           !verify::ignores_drafts(request->verify_mode(mode_));
  });
  return depends && cautious_planner_ != nullptr ? *cautious_planner_ : *planner_;
}

verify::Plan Speculation::plan(std::span<ActiveRequest* const> decoding, int prompt_rows,
                               double* predicted_ms) {
  views_.clear();
  lengths_.assign(decoding.size(), 0);
  for (ActiveRequest* request : decoding) {
    DraftState& state = request->draft();
    estimate(*request);
    verify::RequestView view;
    view.drafted = static_cast<int>(state.block.ids.size());
    view.confidence = state.confidence;
    view.survival = state.survival;
    view.lagged_survival = state.past_survival[kLag - 1];
    views_.push_back(view);
  }
  cost_.prepare(cache_bytes(decoding), computed_);
  const int priced_rows = priced(prompt_rows);
  const verify::WithoutPrompts cost(cost_, static_cast<int>(decoding.size()), priced_rows);
  // Requests with planners of their own first: to the others their drafts are rows of the step.
  double own_tokens = 0;
  int other_rows = priced_rows;
  for (size_t i = 0; i < decoding.size(); ++i) {
    DraftState& state = decoding[i]->draft();
    if (state.planner == nullptr) continue;
    int& length = state.verify_length;
    own_tokens += state.planner->plan({{&views_[i], 1}}, cost_, {&length, 1}).expected_tokens - 1;
    other_rows += length;
    views_[i] = {};
  }
  verify::Plan plan = planner_of(decoding).plan({views_, other_rows}, cost, lengths_);
  plan.expected_tokens += own_tokens;
  *predicted_ms = cost_.step_ms(plan.rows);
  plan.rows += prompt_rows - priced_rows;
  for (size_t i = 0; i < decoding.size(); ++i) {
    DraftState& state = decoding[i]->draft();
    if (state.planner == nullptr) state.verify_length = lengths_[i];
    if (state.block.matched == 0)
      state.length.observe(static_cast<int>(state.block.ids.size()), state.verify_length);
  }
  return plan;
}

void Speculation::observe(ActiveRequest& request, int considered, int accepted) {
  DraftState& state = request.draft();
  state.accepted = accepted;
  if (considered == 0) return;
  drafter_->observe(state.drafter.get(), considered, accepted);
  verify::OnlineConfidence& confidence = online(request);
  const bool learned = confidence.learns();
  for (int k = 0; k < considered && k <= accepted; ++k)
    confidence.observe(k, state.signal[static_cast<size_t>(k)], bias_of(state), k < accepted);
  if (confidence.learns() && !learned)
    log_warning(
        "{}: its confidences no longer agree with what is accepted (mean error {:.1f} %): "
        "from here on they are learned",
        drafter_->name(), 100 * confidence.ece());
}

double Speculation::cache_bytes(std::span<ActiveRequest* const> decoding) const {
  double rows = 0;
  for (const ActiveRequest* request : decoding)
    rows += static_cast<double>(request->sequence().length());
  return rows * position_bytes_;
}

void Speculation::learn_costs(std::span<ActiveRequest* const> decoding, int rows, int prompt_rows,
                              double target_ms, double draft_ms, bool only_decoding) {
  if (decoding.empty()) return;
  cost_.observe_draft(computed_, draft_ms);
  const auto requests = static_cast<int>(decoding.size());
  if (only_decoding) cost_.observe_target(rows, cache_bytes(decoding), target_ms);
  if (!paced_) return;
  const auto target = [this](int count) { return cost_.target_ms(count); };
  const int priced_rows = priced(prompt_rows);
  auto costs = verify::StepCosts::of(target, requests, priced_rows, rows - prompt_rows - requests);
  costs.draft_ms = draft_ms / std::max(computed_, 1);
  for (ActiveRequest* request : decoding) {
    DraftState& state = request->draft();
    if (state.block.ids.empty() || state.block.matched > 0) continue;
    const verify::DraftGain gain = costs.gain(state.accepted, state.verify_length);
    state.pace.drafted(gain);
    usual_.take_in(state.survival);
  }
  prospect_.see(usual_.gain(target, requests, priced_rows, cost_.draft_ms(requests) / requests));
}

}  // namespace dspark::engine

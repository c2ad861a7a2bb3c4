#include "engine/speculation.h"

#include <algorithm>

namespace dspark::engine {
namespace {

// Features of a request that does not draft: of these newest rows they are kept, and of twice as
// many at most. That many rows are nearly as good to a drafter as all (docs/decisions.md).
constexpr int kKeptRows = 64;
// Pending rows that go with the draft itself; more are taken in before.
constexpr int kRowsOfDraft = 16;
const verify::Calibration kRaw;

}  // namespace

Speculation::Speculation(std::unique_ptr<draft::Drafter> drafter, const Options& options,
                         const Info& target)
    : drafter_(std::move(drafter)),
      cost_(static_cast<double>(target.weight_bytes)),
      position_bytes_(static_cast<double>(target.position_bytes)),
      mode_(options.verify),
      slots_(std::min(drafter_->slots(), options.draft_max)),
      feature_width_(drafter_->tap_layers().size() * static_cast<size_t>(target.hidden)) {
  if (options.costs) cost_.start_from(*options.costs);
  if (drafter_->calibrations() != nullptr)
    for (const draft::StoredCalibration& stored : *drafter_->calibrations())
      calibrations_.push_back(stored.fit);
  using Signal = verify::OnlineConfidence::Signal;
  for (const double temperature : {0.0, 1.0}) {
    const bool calibrated = verify::matching_calibration(calibrations_, mode_, temperature) >= 0;
    online_.emplace_back(slots_, calibrated                   ? Signal::kCalibrated
                                 : drafter_->has_confidence() ? Signal::kRaw
                                                              : Signal::kMargin);
  }
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
  paced_ = planner == "auto";
  planner_name_ = planner == "auto" ? "auto" : verify::planner_name(spec);
  return {};
}

int Speculation::most_context_rows(const Options& options) {
  return std::max(options.prefill_chunk, 2 * kKeptRows) + options.max_running * kRowsOfDraft;
}

void Speculation::allot(int step_rows) {
  features_.resize(static_cast<size_t>(step_rows) * feature_width_);
}

void Speculation::join(ActiveRequest& request, bool has_rows) const {
  DraftState& state = request.draft();
  const verify::ModeCalibration* found = calibration(request.sampling());
  state.calibration = found != nullptr ? &found->calibration : &kRaw;
  state.off = state.off || request.never_drafts();
  if (state.off) return;
  state.pace = verify::Pace(usual_);
  state.drafter_rows = request.sequence().length();
  state.seen_from = has_rows ? 0 : state.drafter_rows;
  state.drafter = drafter_->new_state();
  state.pending.resize(2 * kKeptRows * feature_width_);
}

const verify::ModeCalibration* Speculation::calibration(const sample::Params& sampling) const {
  const int index =
      verify::matching_calibration(calibrations_, mode_, static_cast<double>(sampling.temperature));
  return index < 0 ? nullptr : &calibrations_[static_cast<size_t>(index)];
}

std::string Speculation::lack_of_calibration(const sample::Params& sampling) const {
  const verify::Planner::Needs needs = planner_->needs();
  if (slots_ == 0 || drafter_->calibrations() == nullptr || calibration(sampling) != nullptr ||
      !(needs.confidence || needs.survival || needs.lagged_survival))
    return {};
  const bool greedy = sampling.temperature == 0;
  return fmt::format(
      "{}: uncalibrated for {} verification, so planner {} counts on what it learns of them "
      "on the way; `dspark calibrate` makes them true from the start",
      drafter_->name(), verify::mode_name(greedy ? verify::Mode::kGreedy : mode_), planner_name_);
}

bool Speculation::wants_features(std::span<ActiveRequest* const> requests) const {
  return feature_width_ > 0 && std::any_of(requests.begin(), requests.end(),
                                           [](auto* request) { return !request->draft().off; });
}

bool Speculation::wants_rows(const ActiveRequest& request) const {
  return feature_width_ > 0 && !request.draft().off && !request.never_drafts();
}

bool Speculation::may_draft(const ActiveRequest& request, int64_t context) const {
  const auto anchor = static_cast<int64_t>(request.tokens().size()) - 1;
  return std::min(slots_, request.draft_room(context)) > 0 &&
         anchor + drafter_->scratch_rows() <= request.sequence().capacity();
}

draft::ContextRows Speculation::context_of(ActiveRequest& request, int rows) const {
  DraftState& state = request.draft();
  draft::ContextRows context{
      &request.sequence(), state.drafter_rows, state.seen_from, rows, state.pending.data(), {},
      state.drafter.get()};
  if (rows > 0)
    context.tokens = request.tokens().subspan(static_cast<size_t>(state.drafter_rows),
                                              static_cast<size_t>(rows) + 1);
  return context;
}

// All pending rows but the newest.
void Speculation::take_in(ActiveRequest& request) {
  DraftState& state = request.draft();
  const draft::ContextRows context = context_of(request, state.pending_rows - 1);
  drafter_->absorb({&context, 1});
  state.drafter_rows += context.rows;
  state.pending_rows = 1;
  std::copy_n(state.pending.data() + static_cast<size_t>(context.rows) * feature_width_,
              feature_width_, state.pending.data());
}

void Speculation::draft(std::span<ActiveRequest* const> decoding, int64_t context) {
  blocks_.clear();
  for (ActiveRequest* request : decoding) {
    DraftState& state = request->draft();
    state.block.clear();
    if (state.off || !may_draft(*request, context)) continue;
    if (rests(*request)) {
      state.pace.rested();
      continue;
    }
    if (state.pending_rows > kRowsOfDraft) take_in(*request);
    draft::BlockRequest block;
    block.context = context_of(*request, state.pending_rows);
    block.tokens = request->tokens();
    block.slots = std::min(slots_, request->draft_room(context));
    block.sampler = &request->sampler();
    block.own_variates = !verify::ignores_drafts(mode_);
    block.stop_ids = request->stop_ids();
    block.out = &state.block;
    blocks_.push_back(block);
    state.drafter_rows += state.pending_rows;
    state.pending_rows = 0;
  }
  if (!blocks_.empty()) drafter_->draft(blocks_);
  for (ActiveRequest* request : decoding) {
    DraftState& state = request->draft();
    if (state.block.fault.empty()) continue;
    log_warning("request {}: drafting is off, the text goes on without: {}", request->id(),
                state.block.fault);
    state.off = true;
    state.block.clear();
  }
}

// The block's confidences and survival, from the drafter's own or from its margins.
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
    state.signal[k] = drafter_->has_confidence()
                          ? verify::calibrated_log_odds(block.confidence[k], *state.calibration, k)
                      : k < block.margin.size() ? static_cast<double>(block.margin[k])
                                                : 0;
    state.confidence[k] =
        online(request).confidence(static_cast<int>(k), state.signal[k], state.bias);
    state.survival[k] = product *= state.confidence[k];
  }
}

verify::Plan Speculation::plan(std::span<ActiveRequest* const> decoding, int other_rows) {
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
  cost_.prepare(cache_bytes(decoding), static_cast<int>(blocks_.size()));
  const verify::Plan plan = planner_->plan({views_, other_rows}, cost_, lengths_);
  for (size_t i = 0; i < decoding.size(); ++i) decoding[i]->draft().verify_length = lengths_[i];
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
    confidence.observe(k, state.signal[static_cast<size_t>(k)], state.bias, k < accepted);
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

void Speculation::learn_costs(std::span<ActiveRequest* const> decoding, int rows, double target_ms,
                              double draft_ms, bool only_decoding) {
  if (decoding.empty()) return;
  const auto drafted = static_cast<int>(blocks_.size());
  cost_.observe_draft(drafted, draft_ms);
  if (!only_decoding) return;
  cost_.observe_target(rows, cache_bytes(decoding), target_ms);
  if (drafted == 0) return;
  const auto requests = static_cast<int>(decoding.size());
  const double plain_ms = cost_.target_ms(requests);
  const verify::StepCosts costs{
      plain_ms, requests,
      rows > requests ? (cost_.target_ms(rows) - plain_ms) / (rows - requests) : 0,
      draft_ms / drafted};
  for (ActiveRequest* request : decoding) {
    DraftState& state = request->draft();
    if (state.block.ids.empty()) continue;
    const verify::DraftGain gain = costs.gain(state.accepted, state.verify_length);
    state.pace.drafted(gain);
    usual_.take_in(gain);
  }
}

void Speculation::keep(ActiveRequest& request, const model::Segment& segment, int rows,
                       bool of_prompt) {
  DraftState& state = request.draft();
  if (feature_width_ == 0 || state.off || rows == 0) return;
  const int64_t position = segment.position;
  const float* from = features_.data() + static_cast<size_t>(segment.first_row) * feature_width_;
  CHECK(position == state.drafter_rows + state.pending_rows, "rows from {} on, {} are known",
        position, state.drafter_rows + state.pending_rows);
  // Rows of a prompt are taken in at once, where they lie; but the newest row of all always waits:
  // a draft call needs it, and what follows it may not be known yet.
  const int at_once = !of_prompt || state.pending_rows > 0 || rests(request) ? 0
                      : request.prefilling()                                 ? rows
                                                                             : rows - 1;
  if (at_once > 0) {
    absorbing_.push_back(
        {&request.sequence(), position, state.seen_from, at_once, from,
         request.tokens().subspan(static_cast<size_t>(position), static_cast<size_t>(at_once) + 1),
         state.drafter.get()});
    state.drafter_rows += at_once;
  }
  put_off(state, from + static_cast<size_t>(at_once) * feature_width_, position + at_once,
          rows - at_once);
}

// features: [rows, taps * hidden], of positions from `position` on.
void Speculation::put_off(DraftState& state, const float* features, int64_t position,
                          int rows) const {
  if (state.pending_rows + rows > 2 * kKeptRows) {
    const int old = std::clamp(kKeptRows - rows, 0, state.pending_rows);
    std::copy_n(
        state.pending.data() + static_cast<size_t>(state.pending_rows - old) * feature_width_,
        static_cast<size_t>(old) * feature_width_, state.pending.data());
    const int skipped = std::max(rows - kKeptRows, 0);
    features += static_cast<size_t>(skipped) * feature_width_;
    rows -= skipped;
    state.seen_from = state.drafter_rows = position + skipped - old;
    state.pending_rows = old;
  }
  std::copy_n(features, static_cast<size_t>(rows) * feature_width_,
              state.pending.data() + static_cast<size_t>(state.pending_rows) * feature_width_);
  state.pending_rows += rows;
}

void Speculation::absorb() {
  if (!absorbing_.empty()) drafter_->absorb(absorbing_);
  absorbing_.clear();
}

}  // namespace dspark::engine

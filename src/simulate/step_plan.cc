#include "simulate/step_plan.h"

#include <algorithm>

namespace dspark::simulate {
namespace {

// Any row is free: a planner then takes all that there is room for.
class Free : public verify::StepCost {
  double step_ms(int rows) const override { return 1; }
};

std::unique_ptr<verify::Planner> planner_of(const verify::PlannerSpec& spec) {
  return verify::make_planner(spec, verify::Mode::kCoupled).take();  // parse_policy() knows better
}

}  // namespace

const Cycle& Running::recorded() const {
  return answer->cycles[next_cycle % answer->cycles.size()];
}

// Text that repeats goes on repeating behind what was verified of it.
void Running::move_on(int tokens) {
  const Cycle& at = recorded();
  taken += tokens;
  if (at.looked_up && taken <= at.accepted && taken < at.slots) return;
  taken = 0;
  ++next_cycle;
}

Rank::Rank(const Setup& setup, const Policy& policy, double price)
    : setup_(setup),
      policy_(policy),
      price_(price),
      planner_(planner_of(policy.planner)),
      admission_(planner_of({verify::PlannerKind::kGlobal})),
      sure_(static_cast<size_t>(setup.recording->slots()), 1.0) {}

void Rank::join(Running request) {
  request.pace = verify::Pace(prospect_);
  request.past.assign(static_cast<size_t>(setup_.lag) + 1, {});
  requests_.push_back(std::move(request));
}

// Prompts share a chunk, in order of arrival.
void Rank::deal_prompt_rows() {
  prompt_rows_ = 0;
  for (Running& request : requests_) {
    request.prompt_rows = std::min(request.prompt_left, setup_.prefill_chunk - prompt_rows_);
    prompt_rows_ += request.prompt_rows;
  }
}

void Rank::draft() {
  decoding_.clear();
  views_.clear();
  drafting_ = 0;
  const bool off = policy_.planner.kind == verify::PlannerKind::kOff;
  for (Running& request : requests_) {
    request.decodes = request.prompt_left == 0;
    request.cycle = nullptr;
    request.verified = request.accepted = 0;
    if (!request.decodes) continue;
    decoding_.push_back(&request);
    verify::RequestView view;
    const Cycle& cycle = request.recorded();
    request.pace.follow(prospect_);
    const bool rests = policy_.paced && !request.pace.drafts();
    if (rests) request.pace.rested();
    int slots = std::min(cycle.slots - request.taken, request.left - 1);  // the last is no draft
    if (policy_.oracle) slots = std::min(slots, cycle.accepted - request.taken);
    std::vector<double>& survival = request.past[request.past_at++ % request.past.size()];
    survival.clear();
    if (!off && slots > 0 && (!rests || cycle.looked_up)) {
      if (!cycle.looked_up) ++drafting_;
      request.cycle = &cycle;
      view.drafted = slots;
      view.confidence =
          setup_.recording->confidence(cycle).subspan(static_cast<size_t>(request.taken));
      double product = 1;
      for (const double c : view.confidence) survival.push_back(product *= c);
    }
    view.survival = policy_.oracle ? std::span<const double>(sure_) : survival;
    view.lagged_survival = request.past[request.past_at % request.past.size()];
    views_.push_back(view);
  }
  lengths_.assign(decoding_.size(), 0);
}

void Rank::take(std::span<const int> lengths) {
  verified_ = 0;
  for (size_t i = 0; i < lengths.size(); ++i) verified_ += decoding_[i]->verified = lengths[i];
}

int Rank::plan() {
  deal_prompt_rows();
  draft();
  verified_ = 0;
  if (decoding_.empty()) return 0;
  const CycleCost cost(*setup_.costs, drafting_);
  if (policy_.priced) {
    plan_by_price(cost);
  } else {
    const verify::WithoutPrompts own(cost, static_cast<int>(decoding_.size()), prompt_rows_);
    planner_->plan({.requests = views_, .other_rows = prompt_rows_}, own, lengths_);
    take(lengths_);
  }
  return verified_;
}

// As many slots, by falling survival, as give the most tokens after their time is paid for. What is
// best in the long run is best step by step under the price of that run; tokens per ms of each step
// alone would take too many rows in poor steps and too few in good ones.
void Rank::plan_by_price(const verify::StepCost& cost) {
  survivals_.clear();
  for (const verify::RequestView& view : views_)
    for (int k = 0; k < view.drafted; ++k)
      survivals_.push_back(view.survival[static_cast<size_t>(k)]);
  std::sort(survivals_.begin(), survivals_.end(), std::greater<>());
  const int plain_rows = static_cast<int>(decoding_.size()) + prompt_rows_;
  const double plain_ms = cost.step_ms(plain_rows);
  double sum = 0, most = 0;
  int budget = 0;
  for (int rows = 1; rows <= static_cast<int>(survivals_.size()); ++rows) {
    sum += survivals_[static_cast<size_t>(rows) - 1];
    const double value = sum - price_ * (cost.step_ms(plain_rows + rows) - plain_ms);
    if (value > most) most = value, budget = rows;
  }
  // The oracle knows as well when drafting does not pay.
  if (policy_.oracle && most < price_ * setup_.costs->draft_ms(drafting_)) {
    drafting_ = budget = 0;
    for (Running* request : decoding_) request->cycle = nullptr;
  }
  if (budget > 0) agree(budget);
}

void Rank::agree(int budget) {
  if (decoding_.empty() || budget == verified_) return;
  const int rows = static_cast<int>(decoding_.size()) + prompt_rows_ + budget;
  admission_->plan({.requests = views_, .other_rows = prompt_rows_, .max_rows = rows}, Free(),
                   lengths_);
  take(lengths_);
}

double Rank::ms() const {
  const int rows = static_cast<int>(decoding_.size()) + prompt_rows_ + verified_;
  if (rows == 0) return 0;
  return setup_.costs->target_ms(rows) + setup_.costs->draft_ms(drafting_);
}

// As the engine judges a request's drafts: what a token costs without them, a verified row, a
// draft.
void Rank::learn() {
  if (!policy_.paced || decoding_.empty()) return;
  const auto target = [this](int rows) { return setup_.costs->target_ms(rows); };
  const auto requests = static_cast<int>(decoding_.size());
  auto costs = verify::StepCosts::of(target, requests, prompt_rows_, verified_);
  costs.draft_ms = setup_.costs->draft_ms(drafting_) / std::max(drafting_, 1);
  for (Running* request : decoding_) {
    if (request->cycle == nullptr || request->cycle->looked_up) continue;
    const verify::DraftGain gain = costs.gain(request->accepted, request->verified);
    request->pace.drafted(gain);
    usual_.take_in(setup_.recording->survival(*request->cycle));
  }
  prospect_.see(
      usual_.gain(target, requests, prompt_rows_, setup_.costs->draft_ms(requests) / requests));
}

void Rank::run(double step_ms, double end_ms, Figures& figures) {
  figures.rows += static_cast<int64_t>(decoding_.size()) + prompt_rows_ + verified_;
  figures.verified += verified_;
  figures.cycles += static_cast<int64_t>(decoding_.size());
  figures.drafted_cycles += drafting_;
  figures.decode_ms += step_ms * static_cast<double>(decoding_.size());
  figures.running += static_cast<double>(requests_.size()) * step_ms;
  for (Running* request : decoding_) {
    if (request->cycle != nullptr)
      request->accepted = std::min(request->verified, request->cycle->accepted - request->taken);
    const int tokens = request->accepted + 1;
    request->left -= tokens;
    request->decode_tokens += tokens;
    request->move_on(tokens);
    figures.accepted += request->accepted;
    figures.decode_tokens += tokens;
    figures.tokens += tokens;
  }
  learn();
  for (Running& request : requests_) {
    if (request.prompt_rows == 0) continue;
    request.prompt_left -= request.prompt_rows;
    if (request.prompt_left > 0) continue;
    --request.left;
    ++figures.tokens;
    request.first_ms = end_ms;
  }
}

}  // namespace dspark::simulate

// A trained drafter beside prompt look-up: of each block the one that has lately brought more. What
// repeats is looked up, all the rest is drafted, and a block that was looked up costs next to
// nothing.
#include <algorithm>
#include <array>

#include "draft/drafter.h"

namespace dspark::draft {
namespace {

// Drafts accepted of a block on average: what is expected before anything was seen, of the drafter
// and of look-ups by the number of tokens that matched, from kShortestMatch on. It counts as so
// many blocks.
constexpr double kExpected[] = {0.8, 0.9, 1.4, 3}, kExpectedBlocks = 4;
constexpr double kFading = 0.95;
constexpr size_t kKinds = std::size(kExpected);

// Of a request alone: under rejection its text would else depend on others.
struct State : RequestState {
  std::unique_ptr<RequestState> model, lookup;
  std::array<double, kKinds> accepted, blocks;  // sums, fading
  size_t kind = 0;                              // of the last block: an index of kExpected

  double expected(size_t of) const { return accepted[of] / blocks[of]; }
};

class WithLookup : public Drafter {
 public:
  explicit WithLookup(std::unique_ptr<Drafter> model)
      : model_(std::move(model)),
        lookup_(make_ngram()),
        name_(model_->name() + std::string(kLookup)) {}

  const std::string& name() const override { return name_; }
  int slots() const override { return std::max(model_->slots(), lookup_->slots()); }
  int scratch_rows() const override { return model_->scratch_rows(); }
  std::span<const int> tap_layers() const override { return model_->tap_layers(); }
  bool looks_ahead() const override { return model_->looks_ahead(); }
  bool looks_up() const override { return true; }
  bool has_confidence() const override { return model_->has_confidence(); }
  const std::vector<StoredCalibration>* calibrations() const override {
    return model_->calibrations();
  }
  std::unique_ptr<RequestState> new_state() const override {
    auto state = std::make_unique<State>();
    state->model = model_->new_state();
    state->lookup = lookup_->new_state();
    for (size_t kind = 0; kind < kKinds; ++kind) {
      state->accepted[kind] = kExpected[kind] * kExpectedBlocks;
      state->blocks[kind] = kExpectedBlocks;
    }
    return state;
  }

  void absorb(std::span<const ContextRows> rows) override {
    contexts_.assign(rows.begin(), rows.end());
    for (ContextRows& context : contexts_)
      context.state = static_cast<State*>(context.state)->model.get();
    model_->absorb(contexts_);
  }

  void draft(std::span<const BlockRequest> requests) override {
    drafting_.clear();
    for (const BlockRequest& request : requests) {
      if (looks_up(request)) continue;
      request.out->clear();
      if (request.model_slots == 0) continue;
      drafting_.push_back(request);
      BlockRequest& model = drafting_.back();
      model.slots = std::min(request.model_slots, model_->slots());
      model.context.state = state_of(request).model.get();
    }
    if (!drafting_.empty()) model_->draft(drafting_);
  }

  void observe(RequestState* given, int verified, int accepted) override {
    State& state = *static_cast<State*>(given);
    if (verified == 0) return;
    state.accepted[state.kind] = state.accepted[state.kind] * kFading + accepted;
    state.blocks[state.kind] = state.blocks[state.kind] * kFading + 1;
    (state.kind == 0 ? *model_ : *lookup_)
        .observe((state.kind == 0 ? state.model : state.lookup).get(), verified, accepted);
  }

 private:
  static State& state_of(const BlockRequest& request) {
    return *static_cast<State*>(request.context.state);
  }

  // Leaves the block in request.out where what is found promises more than a draft.
  bool looks_up(const BlockRequest& request) {
    State& state = state_of(request);
    BlockRequest found = request;
    found.slots = std::min(request.slots, lookup_->slots());
    found.context.state = state.lookup.get();
    lookup_->draft({&found, 1});
    const int matched = request.out->matched;
    state.kind = matched == 0 ? 0 : static_cast<size_t>(matched - kShortestMatch + 1);
    if (request.model_slots > 0 && state.expected(state.kind) < state.expected(0)) state.kind = 0;
    return state.kind != 0;
  }

  std::unique_ptr<Drafter> model_, lookup_;
  std::string name_;
  std::vector<ContextRows> contexts_;
  std::vector<BlockRequest> drafting_;
};

}  // namespace

std::unique_ptr<Drafter> add_lookup(std::unique_ptr<Drafter> model) {
  return std::make_unique<WithLookup>(std::move(model));
}

}  // namespace dspark::draft

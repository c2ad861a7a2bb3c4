// Look-up beside a drafter: which of the two makes a block, and that the drafter gets its rows.
#include <gtest/gtest.h>

#include "draft/draft.h"

namespace dspark::draft {
namespace {

constexpr int32_t kGuess = 99;

// Drafts kGuess in three slots; counts what it is given.
class Guesser : public Drafter {
 public:
  struct Seen {
    int blocks = 0, slots = 0, rows = 0, observed = 0;
  };
  explicit Guesser(Seen& seen) : seen_(seen) {}
  const std::string& name() const override { return name_; }
  int slots() const override { return 3; }
  void absorb(std::span<const ContextRows> rows) override {
    for (const ContextRows& r : rows) seen_.rows += r.rows;
  }
  void draft(std::span<const BlockRequest> requests) override {
    for (const BlockRequest& request : requests) {
      ++seen_.blocks;
      seen_.slots += request.slots;
      seen_.rows += request.context.rows;
      request.out->clear();
      request.out->ids.assign(static_cast<size_t>(request.slots), kGuess);
    }
  }
  void observe(RequestState*, int, int) override { ++seen_.observed; }

 private:
  Seen& seen_;
  std::string name_ = "guesser";
};

class LookupTest : public ::testing::Test {
 protected:
  Block& draft(const std::vector<int32_t>& tokens, int slots = 15, int model_slots = 2) {
    BlockRequest request;
    request.context.rows = 1;
    request.context.state = state_.get();
    request.tokens = tokens;
    request.slots = slots;
    request.model_slots = std::min(slots, model_slots);
    request.out = &block_;
    drafter_->draft({&request, 1});
    return block_;
  }

  Guesser::Seen seen_;
  std::unique_ptr<Drafter> drafter_ = add_lookup(std::make_unique<Guesser>(seen_));
  std::unique_ptr<RequestState> state_ = drafter_->new_state();
  Block block_;
};

TEST_F(LookupTest, WhatRepeatsIsLookedUpAndAllElseDrafted) {
  EXPECT_EQ(drafter_->name(), "guesser+ngram");
  EXPECT_EQ(drafter_->slots(), 15);
  EXPECT_EQ(draft({1, 2, 3, 4, 5}).ids, (std::vector<int32_t>{kGuess, kGuess}));
  EXPECT_EQ(block_.matched, 0);
  drafter_->observe(state_.get(), 2, 0);
  EXPECT_EQ(draft({1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4}, 3).ids, (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(block_.matched, 4);
  EXPECT_EQ(block_.confidence.size(), 3u);
  drafter_->observe(state_.get(), 3, 3);
  EXPECT_EQ(seen_.blocks, 1);
  EXPECT_EQ(seen_.slots, 2);
  EXPECT_EQ(seen_.observed, 1);
  EXPECT_EQ(seen_.rows, 1);  // of the one that was drafted
}

TEST_F(LookupTest, WithoutTheDraftersSlotsItOnlyLooksUp) {
  const std::vector<int32_t> repeats = {1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4};
  EXPECT_TRUE(draft({1, 2, 3, 4, 5}, 15, 0).ids.empty());
  for (int i = 0; i < 50; ++i) {  // however poor: nothing stands beside it
    EXPECT_EQ(draft(repeats, 3, 0).matched, 4);
    drafter_->observe(state_.get(), 3, 0);
  }
  EXPECT_EQ(seen_.blocks + seen_.rows + seen_.observed, 0);
}

TEST_F(LookupTest, TheOneThatBringsMoreIsChosen) {
  const std::vector<int32_t> repeats = {1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4};
  int refused = 0;
  for (; draft(repeats).matched > 0; ++refused) {
    ASSERT_LT(refused, 50);
    drafter_->observe(state_.get(), 15, 0);
  }
  EXPECT_GT(refused, 3);
  EXPECT_EQ(block_.ids.size(), 2u);
  for (int i = 0; draft(repeats).matched == 0; ++i) {
    ASSERT_LT(i, 200);
    drafter_->observe(state_.get(), 2, 0);
  }
  // Another request knows nothing of this.
  state_ = drafter_->new_state();
  EXPECT_EQ(draft(repeats).matched, 4);
}

}  // namespace
}  // namespace dspark::draft

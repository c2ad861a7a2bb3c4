// Prompt look-up: the request's last tokens are looked up in its own past, and what followed them
// then is drafted. No training, no rows in the cache.
#include <algorithm>
#include <unordered_map>

#include "draft/drafter.h"

namespace dspark::draft {
namespace {

constexpr int kSlots = 15;
constexpr int kShortest = kShortestMatch, kLongest = kLongestMatch;
constexpr int kLengths = kLongest - kShortest + 1;
// A draft's chance to be accepted when nothing is known yet, by the number of tokens that matched.
constexpr double kPrior[kLengths] = {0.3, 0.5, 0.7};
constexpr double kPriorWeight = 2;  // in observations
// What was observed fades with every block, so that after a bad stretch drafting is tried again.
constexpr double kFading = 0.97;

uint64_t hash_of(const int32_t* tokens, int n) {
  uint64_t hash = 0x9e3779b97f4a7c15u + static_cast<uint64_t>(n);
  for (int i = 0; i < n; ++i) {
    hash ^= static_cast<uint32_t>(tokens[i]);
    hash *= 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

class Past : public RequestState {
 public:
  // Takes in tokens that came since; the last is not looked up yet: it has no successor.
  void read(std::span<const int32_t> tokens) {
    const auto end = static_cast<int64_t>(tokens.size()) - 1;
    for (; read_ < end; ++read_)
      for (int n = kShortest; n <= kLongest && n <= read_ + 1; ++n)
        after_[hash_of(tokens.data() + read_ + 1 - n, n)] = read_ + 1;
  }

  // Where the longest match of the last tokens continues; -1 without one. *length: of the match.
  int64_t find(std::span<const int32_t> tokens, int* length) const {
    const auto size = static_cast<int64_t>(tokens.size());
    for (int n = static_cast<int>(std::min<int64_t>(kLongest, size - 1)); n >= kShortest; --n) {
      const int32_t* last = tokens.data() + size - n;
      const auto found = after_.find(hash_of(last, n));
      if (found == after_.end()) continue;
      if (!std::equal(last, last + n, tokens.data() + found->second - n)) continue;
      *length = n;
      return found->second;
    }
    return -1;
  }

  double chance(int length) const {
    const auto i = static_cast<size_t>(length - kShortest);
    return (accepted_[i] + kPriorWeight * kPrior[i]) / (tried_[i] + kPriorWeight);
  }
  void fade(int length) {
    const auto i = static_cast<size_t>(length - kShortest);
    accepted_[i] *= kFading, tried_[i] *= kFading;
    last_length_ = length;
  }
  void observe(int verified, int accepted) {
    if (last_length_ == 0 || verified == 0) return;
    const auto i = static_cast<size_t>(last_length_ - kShortest);
    tried_[i] += std::min(verified, accepted + 1);
    accepted_[i] += accepted;
    last_length_ = 0;
  }

 private:
  std::unordered_map<uint64_t, int64_t> after_;  // hash of tokens -> where their last successor is
  int64_t read_ = 0;
  double tried_[kLengths] = {}, accepted_[kLengths] = {};
  int last_length_ = 0;
};

class Ngram : public Drafter {
 public:
  const std::string& name() const override { return name_; }
  int slots() const override { return kSlots; }
  bool looks_up() const override { return true; }
  bool has_confidence() const override { return true; }
  std::unique_ptr<RequestState> new_state() const override { return std::make_unique<Past>(); }

  void draft(std::span<const BlockRequest> requests) override {
    for (const BlockRequest& request : requests) draft_one(request);
  }
  void observe(RequestState* state, int verified, int accepted) override {
    static_cast<Past*>(state)->observe(verified, accepted);
  }

 private:
  static void draft_one(const BlockRequest& request) {
    Block& out = *request.out;
    out.clear();
    Past& past = *static_cast<Past*>(request.context.state);
    past.read(request.tokens);
    int length = 0;
    const int64_t from = past.find(request.tokens, &length);
    if (from < 0) return;
    past.fade(length);
    const double chance = past.chance(length);
    const auto logit = static_cast<float>(real_log(chance / (1 - chance)));
    out.matched = length;
    const auto size = static_cast<int64_t>(request.tokens.size());
    for (int slot = 0; slot < request.slots; ++slot) {
      const int64_t at = from + slot;  // behind the end: the drafts go on with themselves
      const int32_t id = at < size ? request.tokens[static_cast<size_t>(at)]
                                   : out.ids[static_cast<size_t>(at - size)];
      out.ids.push_back(id);
      out.confidence.push_back(logit);
      if (!request.own_variates) continue;
      const auto place = static_cast<size_t>(slot);
      if (out.distributions.size() <= place) out.distributions.resize(place + 1);
      out.distributions[place].ids.assign(1, id);
      out.distributions[place].probs.assign(1, 1.0f);
    }
  }

  std::string name_ = "ngram";
};

}  // namespace

std::unique_ptr<Drafter> make_ngram() { return std::make_unique<Ngram>(); }

}  // namespace dspark::draft

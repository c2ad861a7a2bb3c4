#include <algorithm>
#include <mutex>

#include "grammar/automaton.h"
#include "grammar/grammar.h"
#include "grammar/token_trie.h"

namespace dspark::grammar {
namespace {

// What a grammar's automaton and masks may take before they are made anew, and what one mask may
// add to it.
constexpr size_t kMostBytes = size_t{8} << 20, kMostBytesOfAMask = size_t{4} << 20;

using Words = std::vector<uint64_t>;  // a bit a token

struct Cache {
  explicit Cache(const Network& network) : automaton(network) {}

  std::mutex mutex;
  Automaton automaton;
  std::unordered_map<int32_t, std::unique_ptr<const Words>> masks;  // by state
  size_t mask_bytes = 0;

  bool full() const { return automaton.memory_bytes() + mask_bytes > kMostBytes; }
};

}  // namespace

std::shared_ptr<const TokenTrie> make_token_trie(const tokenizer::Tokenizer& tokenizer,
                                                 int32_t vocab_size) {
  return std::make_shared<const TokenTrie>(tokenizer, vocab_size);
}

class Masks::Shared {
 public:
  Shared(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie)
      : grammar_(std::move(grammar)),
        trie_(std::move(trie)),
        cache_(std::make_shared<Cache>(grammar_->network())) {}

  const TokenTrie& trie() const { return *trie_; }
  bool ends(int32_t id) const {
    const std::vector<int32_t>& stops = trie_->tokenizer().stop_ids();
    return std::binary_search(stops.begin(), stops.end(), id);
  }

  std::shared_ptr<Cache> cache() {
    const std::lock_guard lock(mutex_);
    return cache_;
  }
  // Another for one that is full; whoever uses that keeps it until then.
  std::shared_ptr<Cache> cache_after(const std::shared_ptr<Cache>& full) {
    const std::lock_guard lock(mutex_);
    if (cache_ == full) cache_ = std::make_shared<Cache>(grammar_->network());
    return cache_;
  }

  // With the cache locked.
  Result<std::span<const uint64_t>> mask(Cache& cache, int32_t state) const;

 private:
  Result<Words> make_mask(Automaton& automaton, int32_t state) const;

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTrie> trie_;
  std::mutex mutex_;
  std::shared_ptr<Cache> cache_;
};

Result<std::span<const uint64_t>> Masks::Shared::mask(Cache& cache, int32_t state) const {
  std::unique_ptr<const Words>& known = cache.masks[state];
  if (known == nullptr) {
    DSPARK_TRY(Words words, make_mask(cache.automaton, state));
    cache.mask_bytes += words.size() * sizeof(uint64_t) + 64;
    known = std::make_unique<const Words>(std::move(words));
  }
  return std::span<const uint64_t>(*known);
}

// Walks the trie, and below a node only where the grammar goes on.
Result<Words> Masks::Shared::make_mask(Automaton& automaton, int32_t state) const {
  Words words((static_cast<size_t>(trie_->vocab_size()) + 63) / 64, 0);
  bool any = false;
  const auto allow = [&](int32_t id) {
    words[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    any = true;
  };
  if (automaton.may_end(state))
    for (const int32_t id : trie_->tokenizer().stop_ids())
      if (id < trie_->vocab_size()) allow(id);
  const std::vector<TokenTrie::Node>& nodes = trie_->nodes();
  const size_t most_bytes = automaton.memory_bytes() + kMostBytesOfAMask;
  std::vector<int32_t> states(static_cast<size_t>(trie_->deepest()) + 1);  // by depth
  states[0] = state;
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const auto depth = static_cast<size_t>(node.depth);
    const int32_t reached = automaton.next(states[depth - 1], node.byte);
    if (reached == Automaton::kDead) {
      i = static_cast<size_t>(node.skip);
      continue;
    }
    if (reached == Automaton::kTooMany || automaton.memory_bytes() > most_bytes)
      return fail("the grammar is too ambiguous here: the text can be read in too many ways");
    states[depth] = reached;
    if (node.token >= 0) allow(node.token);
    ++i;
  }
  if (!any) return fail("the grammar allows no token here: the vocabulary lacks the bytes for it");
  return words;
}

class Masks::Matcher : public sample::Constraint {
 public:
  explicit Matcher(std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)), cache_(shared_->cache()) {
    const std::lock_guard lock(cache_->mutex);
    states_.push_back(cache_->automaton.start());
  }

  Result<std::span<const uint64_t>> allowed() override {
    if (states_.back() == kEnded) return fail("the answer has ended");
    if (states_.back() == Automaton::kDead) return fail("the text so far is not the grammar's");
    if (states_.back() == Automaton::kTooMany) return fail("the grammar is too ambiguous here");
    std::unique_lock lock(cache_->mutex);
    if (cache_->full()) {
      lock.unlock();
      move_to(shared_->cache_after(cache_));
      lock = std::unique_lock(cache_->mutex);
    }
    return shared_->mask(*cache_, states_.back());
  }

  void push(int32_t id) override {
    const std::lock_guard lock(cache_->mutex);
    tokens_.push_back(id);
    states_.push_back(after(states_.back(), id));
  }
  void pop() override {
    CHECK(!tokens_.empty(), "pop without a token pushed");
    tokens_.pop_back();
    states_.pop_back();
  }

 private:
  static constexpr int32_t kEnded = -1;

  int32_t after(int32_t state, int32_t id) {
    if (state == kEnded) return Automaton::kDead;
    Automaton& automaton = cache_->automaton;
    if (shared_->ends(id)) return automaton.may_end(state) ? kEnded : Automaton::kDead;
    const std::string_view bytes = id < shared_->trie().tokenizer().vocab_size()
                                       ? shared_->trie().tokenizer().token_bytes(id)
                                       : std::string_view();
    if (bytes.empty()) return Automaton::kDead;
    for (const char byte : bytes) state = automaton.next(state, static_cast<uint8_t>(byte));
    return state;
  }

  // The same place in another automaton.
  void move_to(std::shared_ptr<Cache> cache) {
    cache_ = std::move(cache);
    const std::lock_guard lock(cache_->mutex);
    states_.assign(1, cache_->automaton.start());
    for (const int32_t id : tokens_) states_.push_back(after(states_.back(), id));
  }

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Cache> cache_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> states_;  // after so many tokens, the first after none
};

Masks::Masks(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie)
    : shared_(std::make_shared<Shared>(std::move(grammar), std::move(trie))) {}
Masks::~Masks() = default;
std::unique_ptr<sample::Constraint> Masks::start() const {
  return std::make_unique<Matcher>(shared_);
}

}  // namespace dspark::grammar

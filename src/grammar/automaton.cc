#include "grammar/automaton.h"

#include <algorithm>

namespace dspark::grammar {
namespace {

constexpr size_t kStackBytes = 64, kStateBytes = 160;  // with what finds them

uint64_t hash_of(const std::vector<int32_t>& stacks, bool may_end) {
  uint64_t hash = may_end ? 0x9e3779b97f4a7c15u : 0x94d049bb133111ebu;
  for (const int32_t stack : stacks) {
    hash = (hash ^ static_cast<uint32_t>(stack)) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

Automaton::Automaton(const Network& network) : network_(network) {
  add_state({});  // kDead
  add_state({});  // kTooMany
  State state;
  ++looking_;
  open(network_.starts[0], -1, state);
  start_ = state_of(std::move(state));
}

int32_t Automaton::stack_of(int32_t node, int32_t below) {
  const uint64_t key =
      static_cast<uint64_t>(static_cast<uint32_t>(node)) << 32 | static_cast<uint32_t>(below);
  const auto [at, added] = stack_ids_.emplace(key, static_cast<int32_t>(stacks_.size()));
  if (added) {
    const int32_t depth = below < 0 ? 0 : stacks_[static_cast<size_t>(below)].depth + 1;
    stacks_.push_back({node, below, depth});
    seen_.push_back(0);
    memory_bytes_ += kStackBytes;
  }
  return at->second;
}

// Follows ends and calls from a node until bytes are to be read. Ways that could not be ended
// within kMostCalls are left out, so that every way that is kept can be.
void Automaton::open(int32_t first, int32_t first_below, State& state) {
  todo_.assign(1, {first, first_below});
  while (!todo_.empty()) {
    const auto [at, below] = todo_.back();
    todo_.pop_back();
    const int32_t stack = stack_of(at, below);
    uint32_t& seen = seen_[static_cast<size_t>(stack)];
    if (seen == looking_) continue;
    seen = looking_;
    const Network::Node& node = network_.nodes[static_cast<size_t>(at)];
    if (stacks_[static_cast<size_t>(stack)].depth + node.depth > kMostCalls) continue;
    if (!node.bytes.empty()) state.stacks.push_back(stack);
    if (node.ends && below < 0) state.may_end = true;
    if (node.ends && below >= 0) {
      const Stack& back = stacks_[static_cast<size_t>(below)];
      todo_.emplace_back(back.node, back.below);
    }
    for (const Network::Call& call : node.calls) {
      int32_t on = below;
      if (call.back >= 0) {
        on = stack_of(call.back, below);
        const int32_t rest = network_.nodes[static_cast<size_t>(call.back)].depth;
        if (stacks_[static_cast<size_t>(on)].depth + rest > kMostCalls) continue;
      }
      todo_.emplace_back(network_.starts[static_cast<size_t>(call.rule)], on);
    }
  }
}

int32_t Automaton::find_next(int32_t from, uint8_t byte) {
  State state;
  ++looking_;
  // By index: states_ and stacks_ may grow.
  for (size_t i = 0; i < states_[static_cast<size_t>(from)].stacks.size(); ++i) {
    const Stack top = stacks_[static_cast<size_t>(states_[static_cast<size_t>(from)].stacks[i])];
    for (const Network::ByteEdge& edge : network_.nodes[static_cast<size_t>(top.node)].bytes)
      if (edge.first <= byte && byte <= edge.last) {
        open(edge.to, top.below, state);
        break;
      }
  }
  const int32_t found = state_of(std::move(state));
  return next_[entry(from, byte)] = found;
}

int32_t Automaton::state_of(State state) {
  if (state.stacks.empty() && !state.may_end) return kDead;
  if (state.stacks.size() > kMostStacks) return kTooMany;
  std::sort(state.stacks.begin(), state.stacks.end());
  const uint64_t hash = hash_of(state.stacks, state.may_end);
  const auto [first, last] = state_ids_.equal_range(hash);
  for (auto at = first; at != last; ++at) {
    const State& known = states_[static_cast<size_t>(at->second)];
    if (known.may_end == state.may_end && known.stacks == state.stacks) return at->second;
  }
  const int32_t id = add_state(std::move(state));
  state_ids_.emplace(hash, id);
  return id;
}

int32_t Automaton::add_state(State state) {
  const auto classes = static_cast<size_t>(network_.classes);
  memory_bytes_ += kStateBytes + (state.stacks.size() + classes) * sizeof(int32_t);
  // Of the first two every way leads to themselves.
  const auto id = static_cast<int32_t>(states_.size());
  next_.insert(next_.end(), classes, id <= kTooMany ? id : kUnknown);
  states_.push_back(std::move(state));
  return id;
}

}  // namespace dspark::grammar

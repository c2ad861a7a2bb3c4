// Private to the room grammar: a network and its stacks as one automaton over bytes, made as it is
// used. A state is the set of stacks that the bytes so far may have led to.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "grammar/network.h"

namespace dspark::grammar {

// Not thread-safe.
class Automaton {
 public:
  static constexpr int32_t kDead = 0;     // no text goes on like this
  static constexpr int32_t kTooMany = 1;  // more than kMostStacks: the grammar is too ambiguous

  explicit Automaton(const Network& network);

  int32_t start() const { return start_; }
  int32_t next(int32_t state, uint8_t byte) {
    const int32_t known = next_[entry(state, byte)];
    return known != kUnknown ? known : find_next(state, byte);
  }
  bool may_end(int32_t state) const { return states_[static_cast<size_t>(state)].may_end; }
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  static constexpr int32_t kUnknown = -1;
  static constexpr size_t kMostStacks = 256;  // of a state
  // A node and the stack below it: where to go on when its rule has ended.
  struct Stack {
    int32_t node;
    int32_t below;  // -1: nothing
    int32_t depth;  // stacks below
  };
  struct State {
    std::vector<int32_t> stacks;  // ascending; of nodes that read a byte
    bool may_end = false;
  };

  size_t entry(int32_t state, uint8_t byte) const {
    return static_cast<size_t>(state) * static_cast<size_t>(network_.classes) +
           network_.byte_class[byte];
  }
  int32_t find_next(int32_t state, uint8_t byte);
  int32_t stack_of(int32_t node, int32_t below);
  void open(int32_t node, int32_t below, State& state);
  int32_t state_of(State state);
  int32_t add_state(State state);

  const Network& network_;
  std::vector<Stack> stacks_;
  std::unordered_map<uint64_t, int32_t> stack_ids_;
  std::vector<uint32_t> seen_;  // by stack: the last state that it was looked at for
  uint32_t looking_ = 0;
  std::vector<std::pair<int32_t, int32_t>> todo_;  // scratch: nodes and what is below
  std::vector<State> states_;
  std::unordered_multimap<uint64_t, int32_t> state_ids_;  // by hash
  std::vector<int32_t> next_;                             // [states, classes]
  size_t memory_bytes_ = 0;
  int32_t start_ = kDead;
};

}  // namespace dspark::grammar

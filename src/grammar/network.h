// Private to the room grammar: a grammar compiled to one finite automaton a rule. Edges are bytes
// or calls of rules; what runs it (automaton.h) keeps stacks of the nodes to go back to.
#pragma once

#include <cstdint>
#include <vector>

#include "base/base.h"
#include "grammar/expression.h"

namespace dspark::grammar {

// Calls within calls. A beginning that could only be finished with more is not accepted.
inline constexpr int kMostCalls = 256;

struct Network {
  struct ByteEdge {
    uint8_t first, last;
    int32_t to;
  };
  // The rule's text here, then on from `back`; -1: nothing follows, so nothing is kept to go back
  // to, and rules that end with themselves need no depth.
  struct Call {
    int32_t rule, back;
  };
  struct Node {
    std::vector<ByteEdge> bytes;  // ascending, without overlaps
    std::vector<Call> calls;      // of distinct rules
    bool ends = false;            // the rule may end here
    int32_t depth = 0;            // calls within calls that the shortest way to an end takes
  };
  std::vector<Node> nodes;
  std::vector<int32_t> starts;  // by rule: its first node; rule 0 is the whole text

  // Bytes of a class are alike everywhere.
  uint8_t byte_class[256] = {};
  int classes = 0;
};

// An error names a rule that is left-recursive or has no text, or says that all is too large.
Result<Network> compile(Rules rules);

}  // namespace dspark::grammar

// Private to the room grammar: one rule as a graph with empty edges, and its determinisation.
#pragma once

#include <map>
#include <vector>

#include "grammar/network.h"

namespace dspark::grammar {

// What all rules of a grammar may take together.
struct Budget {
  int64_t graph_nodes = 400'000;
  int64_t network_nodes = 100'000;
  int64_t set_members = 4'000'000;  // of the sets of graph nodes that network nodes stand for
};

// Large parts that are repeated or stand in a list become rules of their own, added to `rules`.
class RuleGraph {
 public:
  RuleGraph(Rules& rules, Budget& budget) : rules_(rules), budget_(budget) {}

  // The body of a rule to nodes of the network; the index of the first. -1 when the budget is used
  // up.
  int32_t determinise(const Expression& body, const std::string& name, Network& network);

 private:
  struct Node {
    std::vector<int32_t> empty;
    std::vector<Network::ByteEdge> bytes;
    std::vector<Network::Call> calls;
  };
  using Set = std::vector<int32_t>;  // sorted

  bool spent() const { return budget_.graph_nodes < 0; }
  int32_t add_node();
  void connect(int32_t from, int32_t to);
  // Each builds from `from` and gives the node where what was built ends.
  int32_t build(const Expression& e, int32_t from);
  int32_t build_chars(const std::vector<CharRange>& chars, int32_t from);
  int32_t build_repeat(const Expression& e, int32_t from);
  int32_t build_list(const Expression& e, int32_t from);
  Expression outlined(const Expression& part, size_t most_size);

  Set closed(const Set& from);
  int32_t node_of(const Set& from, Network& network);
  void add_byte_edges(const Set& set, size_t at, Network& network);
  void add_calls(const Set& set, size_t at, Network& network);

  Rules& rules_;
  Budget& budget_;
  std::string name_;
  std::vector<Node> nodes_;
  int32_t end_ = 0;
  std::map<Set, int32_t> known_;  // closed sets: their network nodes
  std::vector<const Set*> open_;  // in the order of their nodes
  std::vector<uint32_t> seen_;    // by graph node: the last closure that it was part of
  uint32_t closure_ = 0;
};

}  // namespace dspark::grammar

#include "grammar/rule_graph.h"

#include <algorithm>

#include "grammar/utf8_ranges.h"

namespace dspark::grammar {
namespace {

constexpr size_t kInlineSize = 24;  // of parts that are copied instead of called

// Of the graph that an expression becomes, roughly; counting ends behind `most`.
size_t size_of(const Expression& e, size_t most) {
  size_t size = 1 + e.text.size() + 6 * e.chars.size();
  for (const Expression& part : e.parts) {
    if (size > most) break;
    const size_t inner = size_of(part, most - size);
    const size_t times = e.kind == Expression::Kind::kRepeat
                             ? static_cast<size_t>(std::max({e.least, e.most, 1}))
                             : 1;
    size += inner * times;
  }
  return size;
}

}  // namespace

int32_t RuleGraph::add_node() {
  --budget_.graph_nodes;
  nodes_.emplace_back();
  return static_cast<int32_t>(nodes_.size()) - 1;
}

void RuleGraph::connect(int32_t from, int32_t to) {
  nodes_[static_cast<size_t>(from)].empty.push_back(to);
}

int32_t RuleGraph::build(const Expression& e, int32_t from) {
  if (spent()) return from;
  switch (e.kind) {
    case Expression::Kind::kText:
      for (const char c : e.text) {
        const int32_t to = add_node();
        const auto byte = static_cast<uint8_t>(c);
        nodes_[static_cast<size_t>(from)].bytes.push_back({byte, byte, to});
        from = to;
      }
      return from;
    case Expression::Kind::kChars:
      return build_chars(e.chars, from);
    case Expression::Kind::kSequence:
      for (const Expression& part : e.parts) from = build(part, from);
      return from;
    case Expression::Kind::kChoice: {
      const int32_t to = add_node();
      for (const Expression& part : e.parts) connect(build(part, from), to);
      return to;
    }
    case Expression::Kind::kRepeat:
      return build_repeat(e, from);
    case Expression::Kind::kList:
      return build_list(e, from);
    case Expression::Kind::kRule: {
      const int32_t to = add_node();
      nodes_[static_cast<size_t>(from)].calls.push_back({e.rule, to});
      return to;
    }
  }
  return from;
}

int32_t RuleGraph::build_chars(const std::vector<CharRange>& chars, int32_t from) {
  const int32_t to = add_node();
  for (const CharRange& range : chars)
    for (const ByteRanges& bytes : utf8_ranges(range)) {
      int32_t at = from;
      for (int i = 0; i < bytes.length; ++i) {
        const int32_t next = i + 1 == bytes.length ? to : add_node();
        const auto [first, last] = bytes.bytes[static_cast<size_t>(i)];
        nodes_[static_cast<size_t>(at)].bytes.push_back({first, last, next});
        at = next;
      }
    }
  return to;
}

int32_t RuleGraph::build_repeat(const Expression& e, int32_t from) {
  const bool copies = e.least > 1 || e.most > 1;
  const Expression part = copies ? outlined(e.parts[0], kInlineSize) : e.parts[0];
  for (int i = 0; i < e.least && !spent(); ++i) from = build(part, from);
  if (e.most < 0) {
    const int32_t loop = add_node();  // its own, so that nothing else begins over with it
    connect(from, loop);
    connect(build(part, loop), loop);
    return loop;
  }
  const int32_t to = add_node();
  connect(from, to);
  for (int i = e.least; i < e.most && !spent(); ++i) {
    from = build(part, from);
    connect(from, to);
  }
  return to;
}

// Two rows of nodes: `none` while no part is there yet, `some` behind the first that is.
int32_t RuleGraph::build_list(const Expression& e, int32_t from) {
  const Expression& separator = e.parts.back();
  int32_t none = from, some = add_node();
  for (size_t i = 0; i + 1 < e.parts.size() && !spent(); ++i) {
    const Expression part = outlined(e.parts[i], 8 * kInlineSize);
    const int32_t next = add_node();
    if (none >= 0) connect(build(part, none), next);
    connect(build(part, build(separator, some)), next);
    if (!e.optional[i]) {
      none = -1;
    } else {
      connect(some, next);
    }
    some = next;
  }
  const int32_t to = add_node();
  connect(some, to);
  if (none >= 0) connect(none, to);
  return to;
}

Expression RuleGraph::outlined(const Expression& part, size_t most_size) {
  if (size_of(part, most_size) <= most_size) return part;
  rules_.push_back({name_, part});
  return rule_of(static_cast<int>(rules_.size()) - 1);
}

// What is reached by empty edges, of which only nodes that do something count.
RuleGraph::Set RuleGraph::closed(const Set& from) {
  seen_.resize(nodes_.size());
  ++closure_;
  Set todo = from, result;
  while (!todo.empty()) {
    const int32_t at = todo.back();
    todo.pop_back();
    if (seen_[static_cast<size_t>(at)] == closure_) continue;
    seen_[static_cast<size_t>(at)] = closure_;
    const Node& node = nodes_[static_cast<size_t>(at)];
    if (!node.bytes.empty() || !node.calls.empty() || at == end_) result.push_back(at);
    todo.insert(todo.end(), node.empty.begin(), node.empty.end());
    --budget_.set_members;
  }
  std::sort(result.begin(), result.end());
  return result;
}

int32_t RuleGraph::node_of(const Set& from, Network& network) {
  const auto [at, added] = known_.emplace(closed(from), static_cast<int32_t>(network.nodes.size()));
  if (added) {
    network.nodes.emplace_back();
    network.nodes.back().ends = std::binary_search(at->first.begin(), at->first.end(), end_);
    open_.push_back(&at->first);
    --budget_.network_nodes;
  }
  return at->second;
}

void RuleGraph::add_byte_edges(const Set& set, size_t at, Network& network) {
  std::vector<Network::ByteEdge> edges;
  std::vector<int> cuts;  // where the edges that apply may change
  for (const int32_t from : set)
    for (const Network::ByteEdge& edge : nodes_[static_cast<size_t>(from)].bytes) {
      edges.push_back(edge);
      cuts.push_back(edge.first);
      cuts.push_back(edge.last + 1);
    }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    Set to;
    for (const Network::ByteEdge& edge : edges)
      if (edge.first <= cuts[i] && cuts[i] <= edge.last) to.push_back(edge.to);
    budget_.set_members -= static_cast<int64_t>(edges.size());
    if (to.empty()) continue;
    const int32_t node = node_of(to, network);
    std::vector<Network::ByteEdge>& out = network.nodes[at].bytes;
    const auto first = static_cast<uint8_t>(cuts[i]), last = static_cast<uint8_t>(cuts[i + 1] - 1);
    if (!out.empty() && out.back().to == node && out.back().last + 1 == first)
      out.back().last = last;
    else
      out.push_back({first, last, node});
  }
}

void RuleGraph::add_calls(const Set& set, size_t at, Network& network) {
  std::map<int32_t, Set> backs;  // by rule
  for (const int32_t from : set)
    for (const Network::Call& call : nodes_[static_cast<size_t>(from)].calls)
      backs[call.rule].push_back(call.back);
  for (const auto& [rule, back] : backs) {
    const int32_t node = node_of(back, network);
    network.nodes[at].calls.push_back({rule, node});
  }
}

int32_t RuleGraph::determinise(const Expression& body, const std::string& name, Network& network) {
  nodes_.clear(), known_.clear(), open_.clear(), seen_.clear();
  closure_ = 0;
  name_ = name;
  const int32_t start = add_node();
  end_ = build(body, start);
  const auto first = network.nodes.size();
  node_of({start}, network);
  for (size_t i = 0; i < open_.size(); ++i) {
    if (spent() || budget_.network_nodes < 0 || budget_.set_members < 0) return -1;
    add_byte_edges(*open_[i], first + i, network);
    add_calls(*open_[i], first + i, network);
  }
  return static_cast<int32_t>(first);
}

}  // namespace dspark::grammar

#include "grammar/network.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "grammar/rule_graph.h"

namespace dspark::grammar {
namespace {

constexpr size_t kMostRules = 10'000;
constexpr int32_t kNever = std::numeric_limits<int32_t>::max();

// Where nothing can follow a call, nothing need be kept.
void drop_empty_backs(Network& network) {
  const auto is_end = [&](int32_t at) {
    const Network::Node& node = network.nodes[static_cast<size_t>(at)];
    return node.ends && node.bytes.empty() && node.calls.empty();
  };
  for (Network::Node& node : network.nodes)
    for (Network::Call& call : node.calls)
      if (is_end(call.back)) call.back = -1;
}

// By node: the calls within calls of the shortest way to an end of its rule; kNever without one. A
// call costs the larger of 1 + the rule's own and what follows. Least first, as shortest paths are
// found. by_bytes: bytes may be read on the way; else only ways of the empty text count.
std::vector<int32_t> depths_to_end(const Network& network, bool by_bytes) {
  struct Use {  // a way on from `node`
    int32_t node;
    const Network::Call* call;  // null: a byte
  };
  std::vector<std::vector<Use>> uses(network.nodes.size());  // by a node that it goes through
  std::vector<int32_t> depths(network.nodes.size(), kNever);
  using Entry = std::pair<int32_t, int32_t>;  // depth, node
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> todo;
  const auto start_of = [&](const Network::Call& call) {
    return static_cast<size_t>(network.starts[static_cast<size_t>(call.rule)]);
  };
  for (size_t i = 0; i < network.nodes.size(); ++i) {
    const Network::Node& node = network.nodes[i];
    const auto at = static_cast<int32_t>(i);
    if (node.ends) todo.emplace(depths[i] = 0, at);
    if (by_bytes)
      for (const Network::ByteEdge& edge : node.bytes)
        uses[static_cast<size_t>(edge.to)].push_back({at, nullptr});
    for (const Network::Call& call : node.calls) {
      uses[start_of(call)].push_back({at, &call});
      if (call.back >= 0) uses[static_cast<size_t>(call.back)].push_back({at, &call});
    }
  }
  while (!todo.empty()) {
    const auto [depth, at] = todo.top();
    todo.pop();
    if (depth > depths[static_cast<size_t>(at)]) continue;
    for (const auto& [node, call] : uses[static_cast<size_t>(at)]) {
      int32_t whole = depth;
      if (call != nullptr) {
        const int32_t rule = depths[start_of(*call)];
        const int32_t back = call->back < 0 ? 0 : depths[static_cast<size_t>(call->back)];
        if (rule == kNever || back == kNever) continue;
        whole = std::max(call->back < 0 ? rule : rule + 1, back);
      }
      if (whole >= depths[static_cast<size_t>(node)]) continue;
      todo.emplace(depths[static_cast<size_t>(node)] = whole, node);
    }
  }
  return depths;
}

// By rule: the rules that a text of it may begin with.
std::vector<std::vector<int32_t>> first_rules(const Network& network) {
  const std::vector<int32_t> empty = depths_to_end(network, false);
  std::vector<std::vector<int32_t>> first(network.starts.size());
  std::vector<bool> seen(network.nodes.size(), false);  // each node is of one rule
  for (size_t rule = 0; rule < first.size(); ++rule) {
    std::vector<int32_t> todo{network.starts[rule]};
    while (!todo.empty()) {
      const auto at = static_cast<size_t>(todo.back());
      todo.pop_back();
      if (seen[at]) continue;
      seen[at] = true;
      for (const Network::Call& call : network.nodes[at].calls) {
        first[rule].push_back(call.rule);
        const int32_t start = network.starts[static_cast<size_t>(call.rule)];
        if (empty[static_cast<size_t>(start)] != kNever && call.back >= 0)
          todo.push_back(call.back);
      }
    }
  }
  return first;
}

Status check_left_recursion(const Network& network, const Rules& rules) {
  const auto first = first_rules(network);
  enum class State : uint8_t { kNew, kOnPath, kDone };
  std::vector<State> states(first.size(), State::kNew);
  std::vector<std::pair<int32_t, size_t>> path;  // a rule, and how many of its first rules are done
  for (size_t root = 0; root < first.size(); ++root) {
    if (states[root] != State::kNew) continue;
    states[root] = State::kOnPath;
    path.emplace_back(static_cast<int32_t>(root), 0);
    while (!path.empty()) {
      auto& [rule, done] = path.back();
      if (done == first[static_cast<size_t>(rule)].size()) {
        states[static_cast<size_t>(rule)] = State::kDone;
        path.pop_back();
        continue;
      }
      const int32_t next = first[static_cast<size_t>(rule)][done++];
      State& state = states[static_cast<size_t>(next)];
      if (state == State::kOnPath)
        return fail("rule \"{}\" is left-recursive: it may begin with itself, by way of \"{}\"",
                    rules[static_cast<size_t>(next)].name, rules[static_cast<size_t>(rule)].name);
      if (state == State::kDone) continue;
      state = State::kOnPath;
      path.emplace_back(next, 0);
    }
  }
  return {};
}

void find_classes(Network& network) {
  bool begins[257] = {true};
  for (const Network::Node& node : network.nodes)
    for (const Network::ByteEdge& edge : node.bytes)
      begins[edge.first] = begins[edge.last + 1] = true;
  int classes = 0;
  for (int byte = 0; byte < 256; ++byte) {
    classes += begins[byte];
    network.byte_class[byte] = static_cast<uint8_t>(classes - 1);
  }
  network.classes = classes;
}

}  // namespace

Result<Network> compile(Rules rules) {
  Network network;
  Budget budget;
  RuleGraph graph(rules, budget);
  for (size_t i = 0; i < rules.size(); ++i) {  // more rules may come on the way
    const Rule rule = std::move(rules[i]);
    rules[i].name = rule.name;
    const int32_t start = graph.determinise(rule.body, rule.name, network);
    if (start < 0 || rules.size() > kMostRules)
      return fail("the grammar is too large, at rule \"{}\"", rule.name);
    network.starts.push_back(start);
  }
  drop_empty_backs(network);
  DSPARK_RETURN_IF_ERROR(check_left_recursion(network, rules));
  const std::vector<int32_t> depths = depths_to_end(network, true);
  for (size_t i = 0; i < depths.size(); ++i) network.nodes[i].depth = depths[i];
  for (size_t i = 0; i < rules.size(); ++i)
    if (depths[static_cast<size_t>(network.starts[i])] > kMostCalls)
      return fail("rule \"{}\" has no text, or none that nests less than {} rules", rules[i].name,
                  kMostCalls);
  find_classes(network);
  return network;
}

}  // namespace dspark::grammar

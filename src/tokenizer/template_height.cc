// How high an expression's tree is.
#include <algorithm>
#include <type_traits>

#include "tokenizer/template_ast.h"

namespace dspark::tokenizer::jinja {

namespace {

int height(const ExprPtr& e) { return e ? e->height : 0; }
int height(const std::vector<ExprPtr>& list) {
  int most = 0;
  for (const auto& e : list) most = std::max(most, height(e));
  return most;
}
template <class First>
int height(const std::vector<std::pair<First, ExprPtr>>& list) {
  int most = 0;
  for (const auto& [first, e] : list) {
    most = std::max(most, height(e));
    if constexpr (std::is_same_v<First, ExprPtr>) most = std::max(most, height(first));
  }
  return most;
}
int height(const CallArguments& a) {
  return std::max({height(a.positional), height(a.keyword), height(a.star), height(a.double_star)});
}

int height(const Constant&) { return 0; }
int height(const Name&) { return 0; }
int height(const ListLiteral& n) { return height(n.items); }
int height(const DictLiteral& n) { return height(n.entries); }
int height(const Unary& n) { return height(n.operand); }
int height(const Arithmetic& n) { return std::max(height(n.first), height(n.rest)); }
int height(const Comparison& n) { return std::max(height(n.first), height(n.rest)); }
int height(const Logic& n) { return height(n.operands); }
int height(const Concatenation& n) { return height(n.operands); }
int height(const Conditional& n) {
  return std::max({height(n.test), height(n.then), height(n.otherwise)});
}
int height(const Attribute& n) { return height(n.object); }
int height(const Item& n) { return std::max(height(n.object), height(n.index)); }
int height(const Slice& n) {
  return std::max({height(n.object), height(n.start), height(n.stop), height(n.step)});
}
int height(const Call& n) { return std::max(height(n.callee), height(n.arguments)); }
int height(const Filter& n) { return std::max(height(n.input), height(n.arguments)); }
int height(const Test& n) { return std::max(height(n.input), height(n.arguments)); }

}  // namespace

int tree_height(const Expr::Node& root) {
  return 1 + std::visit([](const auto& node) { return height(node); }, root);
}

}  // namespace dspark::tokenizer::jinja

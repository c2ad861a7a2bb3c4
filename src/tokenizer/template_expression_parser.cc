#include <algorithm>
#include <array>
#include <type_traits>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_parser.h"

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

std::string_view token_words(const Token& token) {
  switch (token.kind) {
    case Token::Kind::kVariableEnd:
      return "'}}'";
    case Token::Kind::kBlockEnd:
      return "'%}'";
    case Token::Kind::kEnd:
      return "the end of the template";
    case Token::Kind::kString:
      return "a string";
    default:
      return {};
  }
}

}  // namespace

ExpressionParser::Nest::Nest(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.nesting_ > parser_.limits_.nesting) {
    --parser_.nesting_;
    parser_.fail(fmt::format("nested more than {} deep", parser_.limits_.nesting));
  }
}

template <class Node>
ExprPtr ExpressionParser::make(int line, Node node) {
  const int below = height(node);
  if (below >= limits_.nesting)
    throw SyntaxError{line, fmt::format("nested more than {} deep", limits_.nesting)};
  return std::make_unique<Expr>(Expr{line, below + 1, std::move(node)});
}

bool ExpressionParser::at_operator(std::string_view op) const {
  return at(Token::Kind::kOperator) && token().text == op;
}

bool ExpressionParser::at_name(std::string_view name) const {
  return at(Token::Kind::kName) && token().text == name;
}

bool ExpressionParser::at_any_name(std::initializer_list<std::string_view> names) const {
  return std::any_of(names.begin(), names.end(), [&](auto name) { return at_name(name); });
}

bool ExpressionParser::take_operator(std::string_view op) {
  if (!at_operator(op)) return false;
  advance();
  return true;
}

bool ExpressionParser::take_name(std::string_view name) {
  if (!at_name(name)) return false;
  advance();
  return true;
}

void ExpressionParser::unexpected(std::string_view wanted) const {
  const std::string_view words = token_words(token());
  if (words.empty()) fail(fmt::format("expected {}, found '{}'", wanted, token().text));
  fail(fmt::format("expected {}, found {}", wanted, words));
}

void ExpressionParser::expect_operator(std::string_view op) {
  if (!take_operator(op)) unexpected(fmt::format("'{}'", op));
}

std::string ExpressionParser::expect_identifier(std::string_view what) {
  if (!at(Token::Kind::kName)) unexpected(what);
  std::string name = token().text;
  advance();
  return name;
}

int ExpressionParser::symbol(const std::string& name) {
  const auto [entry, added] = symbol_of_.try_emplace(name, static_cast<int>(symbols_.size()));
  if (added) symbols_.push_back(name);
  return entry->second;
}

ExprPtr ExpressionParser::parse_conditional() {
  Nest nest(*this);
  const int line = token().line;
  ExprPtr value = parse_or();
  while (take_name("if")) {
    ExprPtr test = parse_or(), otherwise;
    if (take_name("else")) otherwise = parse_conditional();
    value = make(line, Conditional{std::move(test), std::move(value), std::move(otherwise)});
  }
  return value;
}

ExprPtr ExpressionParser::parse_or() { return parse_logic(true); }

ExprPtr ExpressionParser::parse_logic(bool is_or) {
  const int line = token().line;
  const auto operand = [&] { return is_or ? parse_logic(false) : parse_not(); };
  ExprPtr first = operand();
  if (!at_name(is_or ? "or" : "and")) return first;
  Logic logic{is_or, {}};
  logic.operands.push_back(std::move(first));
  while (take_name(is_or ? "or" : "and")) logic.operands.push_back(operand());
  return make(line, std::move(logic));
}

ExprPtr ExpressionParser::parse_not() {
  const int line = token().line;
  if (!take_name("not")) return parse_comparison();
  Nest nest(*this);
  return make(line, Unary{Unary::Kind::kNot, parse_not()});
}

ExprPtr ExpressionParser::parse_comparison() {
  static constexpr std::array<std::pair<std::string_view, Operator>, 6> kOperators = {{
      {"==", Operator::kEqual},
      {"!=", Operator::kNotEqual},
      {"<", Operator::kLess},
      {"<=", Operator::kLessEqual},
      {">", Operator::kGreater},
      {">=", Operator::kGreaterEqual},
  }};
  const int line = token().line;
  Comparison comparison{parse_sum(), {}};
  for (;;) {
    const auto found = std::find_if(kOperators.begin(), kOperators.end(),
                                    [&](const auto& op) { return at_operator(op.first); });
    if (found != kOperators.end()) {
      advance();
      comparison.rest.emplace_back(found->second, parse_sum());
    } else if (take_name("in")) {
      comparison.rest.emplace_back(Operator::kIn, parse_sum());
    } else if (at_name("not") && next_token().kind == Token::Kind::kName &&
               next_token().text == "in") {
      advance();
      advance();
      comparison.rest.emplace_back(Operator::kNotIn, parse_sum());
    } else {
      break;
    }
  }
  if (comparison.rest.empty()) return std::move(comparison.first);
  return make(line, std::move(comparison));
}

ExprPtr ExpressionParser::parse_sum() {
  const int line = token().line;
  Arithmetic sum{parse_concatenation(), {}};
  for (;;) {
    if (take_operator("+"))
      sum.rest.emplace_back(Operator::kAdd, parse_concatenation());
    else if (take_operator("-"))
      sum.rest.emplace_back(Operator::kSubtract, parse_concatenation());
    else
      break;
  }
  if (sum.rest.empty()) return std::move(sum.first);
  return make(line, std::move(sum));
}

ExprPtr ExpressionParser::parse_concatenation() {
  const int line = token().line;
  ExprPtr first = parse_product();
  if (!at_operator("~")) return first;
  Concatenation text;
  text.operands.push_back(std::move(first));
  while (take_operator("~")) text.operands.push_back(parse_product());
  return make(line, std::move(text));
}

ExprPtr ExpressionParser::parse_product() {
  const int line = token().line;
  Arithmetic product{parse_power(), {}};
  for (;;) {
    if (take_operator("*"))
      product.rest.emplace_back(Operator::kMultiply, parse_power());
    else if (take_operator("/"))
      product.rest.emplace_back(Operator::kDivide, parse_power());
    else if (take_operator("//"))
      product.rest.emplace_back(Operator::kFloorDivide, parse_power());
    else if (take_operator("%"))
      product.rest.emplace_back(Operator::kModulo, parse_power());
    else
      break;
  }
  if (product.rest.empty()) return std::move(product.first);
  return make(line, std::move(product));
}

// Unlike Python's, Jinja's ** goes from left to right and binds less than a sign.
ExprPtr ExpressionParser::parse_power() {
  const int line = token().line;
  Arithmetic power{parse_unary(true), {}};
  while (take_operator("**")) power.rest.emplace_back(Operator::kPower, parse_unary(true));
  if (power.rest.empty()) return std::move(power.first);
  return make(line, std::move(power));
}

ExprPtr ExpressionParser::parse_unary(bool with_filter) {
  Nest nest(*this);
  const int line = token().line;
  ExprPtr value;
  if (take_operator("-"))
    value = make(line, Unary{Unary::Kind::kMinus, parse_unary(false)});
  else if (take_operator("+"))
    value = make(line, Unary{Unary::Kind::kPlus, parse_unary(false)});
  else
    value = parse_primary();
  value = parse_postfix(std::move(value));
  return with_filter ? parse_postfix_filters(std::move(value)) : std::move(value);
}

ExprPtr ExpressionParser::parse_primary() {
  const Token& first = token();
  const int line = first.line;
  switch (first.kind) {
    case Token::Kind::kName: {
      const std::string name = expect_identifier("a name");
      if (name == "true" || name == "True") return make(line, Constant{Value::boolean(true)});
      if (name == "false" || name == "False") return make(line, Constant{Value::boolean(false)});
      if (name == "none" || name == "None") return make(line, Constant{Value::none()});
      return make(line, Name{name, symbol(name)});
    }
    case Token::Kind::kString: {
      std::string text;
      for (; at(Token::Kind::kString); advance()) text += token().text;
      return make(line, Constant{Value::string(std::move(text))});
    }
    case Token::Kind::kInteger: {
      const int64_t value = first.integer;
      advance();
      return make(line, Constant{Value::integer(value)});
    }
    case Token::Kind::kFloat: {
      const double value = first.real;
      advance();
      return make(line, Constant{Value::real(value)});
    }
    default:
      break;
  }
  if (take_operator("(")) {
    if (take_operator(")")) return make(line, ListLiteral{true, {}});
    ExprPtr value = parse_tuple(true, ")");
    expect_operator(")");
    return value;
  }
  if (take_operator("[")) return parse_list();
  if (take_operator("{")) return parse_dict();
  unexpected("a value");
}

ExprPtr ExpressionParser::parse_list() {
  const int line = token().line;
  ListLiteral list{false, {}};
  while (!take_operator("]")) {
    if (!list.items.empty()) {
      expect_operator(",");
      if (take_operator("]")) break;
    }
    list.items.push_back(parse_expression());
  }
  return make(line, std::move(list));
}

ExprPtr ExpressionParser::parse_dict() {
  const int line = token().line;
  DictLiteral dict;
  while (!take_operator("}")) {
    if (!dict.entries.empty()) {
      expect_operator(",");
      if (take_operator("}")) break;
    }
    ExprPtr key = parse_expression();
    expect_operator(":");
    dict.entries.emplace_back(std::move(key), parse_expression());
  }
  return make(line, std::move(dict));
}

bool ExpressionParser::at_expression_end() const {
  return at(Token::Kind::kVariableEnd) || at(Token::Kind::kBlockEnd) || at(Token::Kind::kEnd) ||
         at_operator(")") || at_operator("=");
}

ExprPtr ExpressionParser::parse_tuple(bool with_conditional, std::string_view end) {
  const int line = token().line;
  const auto item = [&] { return with_conditional ? parse_expression() : parse_or(); };
  ExprPtr first = item();
  if (!at_operator(",")) return first;
  ListLiteral tuple{true, {}};
  tuple.items.push_back(std::move(first));
  while (take_operator(",")) {
    if (at_expression_end() || (!end.empty() && at_operator(end))) break;
    tuple.items.push_back(item());
  }
  return make(line, std::move(tuple));
}

ExprPtr ExpressionParser::parse_target(bool with_commas, bool with_attribute) {
  Nest nest(*this);
  const int line = token().line;
  const auto one = [&]() -> ExprPtr {
    if (take_operator("(")) {
      ExprPtr inner = parse_target(true, false);
      expect_operator(")");
      return inner;
    }
    const std::string name = expect_identifier("a name to assign to");
    if (name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
        name == "None")
      fail(fmt::format("can't assign to '{}'", name));
    ExprPtr target = make(line, Name{name, symbol(name)});
    if (!with_attribute || !take_operator(".")) return target;
    return make(line, Attribute{std::move(target), expect_identifier("an attribute's name")});
  };
  ExprPtr first = one();
  if (!with_commas || !at_operator(",")) return first;
  ListLiteral tuple{true, {}};
  tuple.items.push_back(std::move(first));
  while (take_operator(",")) {
    if (at_expression_end() || at_name("in")) break;
    tuple.items.push_back(one());
  }
  return make(line, std::move(tuple));
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr object) {
  for (;;) {
    const int line = token().line;
    if (take_operator(".")) {
      if (at(Token::Kind::kInteger)) {
        ExprPtr index = make(line, Constant{Value::integer(token().integer)});
        advance();
        object = make(line, Item{std::move(object), std::move(index)});
      } else {
        object = make(line, Attribute{std::move(object), expect_identifier("an attribute's name")});
      }
    } else if (take_operator("[")) {
      object = parse_subscript(std::move(object));
    } else if (take_operator("(")) {
      object = make(line, Call{std::move(object), parse_arguments()});
    } else {
      return object;
    }
  }
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr object) {
  const int line = token().line;
  std::array<ExprPtr, 3> parts;
  size_t part = 0;
  for (; !at_operator("]"); ++part) {
    if (part == parts.size()) unexpected("']'");
    if (!at_operator(":")) parts[part] = parse_expression();
    if (!take_operator(":")) break;
  }
  if (at_operator(",")) fail("an index with commas is not supported");
  if (part == 0 && !parts[0]) unexpected("an index");
  expect_operator("]");
  if (part == 0) return make(line, Item{std::move(object), std::move(parts[0])});
  return make(line, Slice{std::move(object), std::move(parts[0]), std::move(parts[1]),
                          std::move(parts[2])});
}

CallArguments ExpressionParser::parse_arguments() {
  CallArguments arguments;
  bool first = true;
  while (!take_operator(")")) {
    if (!first) {
      expect_operator(",");
      if (take_operator(")")) break;
    }
    first = false;
    const bool is_keyword = at(Token::Kind::kName) && next_token().kind == Token::Kind::kOperator &&
                            next_token().text == "=";
    if (take_operator("**")) {
      if (arguments.double_star) fail("more than one ** argument");
      arguments.double_star = parse_expression();
    } else if (take_operator("*")) {
      if (arguments.star || arguments.double_star) fail("a * argument out of place");
      arguments.star = parse_expression();
    } else if (is_keyword) {
      if (arguments.double_star) fail("a keyword argument after **");
      std::string name = expect_identifier("a name");
      advance();
      arguments.keyword.emplace_back(std::move(name), parse_expression());
    } else {
      if (arguments.star || arguments.double_star || !arguments.keyword.empty())
        fail("a positional argument after keyword arguments");
      arguments.positional.push_back(parse_expression());
    }
  }
  return arguments;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr input, bool first_bar_read) {
  while (first_bar_read || take_operator("|")) {
    first_bar_read = false;
    const int line = token().line;
    Filter filter{std::move(input), expect_identifier("a filter's name"), nullptr, {}};
    while (take_operator(".")) (filter.name += '.') += expect_identifier("a filter's name");
    filter.function = find_filter(filter.name);
    if (take_operator("(")) filter.arguments = parse_arguments();
    input = make(line, std::move(filter));
  }
  return input;
}

ExprPtr ExpressionParser::parse_postfix_filters(ExprPtr input) {
  for (;;) {
    const int line = token().line;
    if (at_operator("|"))
      input = parse_filters(std::move(input), false);
    else if (take_name("is"))
      input = parse_test(std::move(input));
    else if (take_operator("("))
      input = make(line, Call{std::move(input), parse_arguments()});
    else
      return input;
  }
}

ExprPtr ExpressionParser::parse_test(ExprPtr input) {
  const int line = token().line;
  const bool negated = take_name("not");
  Test test{std::move(input), expect_identifier("a test's name"), nullptr, {}};
  test.function = find_test(test.name);
  if (take_operator("(")) {
    test.arguments = parse_arguments();
  } else if (at_name("is")) {
    fail("tests can't be chained with 'is'");
  } else if ((at(Token::Kind::kName) && !at_any_name({"else", "or", "and"})) ||
             at(Token::Kind::kString) || at(Token::Kind::kInteger) || at(Token::Kind::kFloat) ||
             at_operator("(") || at_operator("[") || at_operator("{")) {
    test.arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  ExprPtr result = make(line, std::move(test));
  return negated ? make(line, Unary{Unary::Kind::kNot, std::move(result)}) : std::move(result);
}

}  // namespace dspark::tokenizer::jinja

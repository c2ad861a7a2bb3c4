// What the parsers read tokens with, and the operators of expressions, by precedence.
#include <algorithm>
#include <array>

#include "tokenizer/template_parser.h"

namespace dspark::tokenizer::jinja {

namespace {

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

ExprPtr ExpressionParser::make(int line, Expr::Node node) const {
  const int height = tree_height(node);
  if (height > limits_.nesting)
    throw SyntaxError{line, fmt::format("nested more than {} deep", limits_.nesting)};
  return std::make_unique<Expr>(Expr{line, height, std::move(node)});
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

}  // namespace dspark::tokenizer::jinja

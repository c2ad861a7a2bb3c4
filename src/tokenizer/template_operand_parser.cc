// The operands of expressions: literals and names, what follows them (attributes, indices, calls,
// filters, tests), tuples, and what can be assigned to.
#include <array>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_parser.h"

namespace dspark::tokenizer::jinja {

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

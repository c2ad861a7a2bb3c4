// Tokens to a tree. Nesting is bounded, so that neither parsing nor running can exhaust the stack.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/template_ast.h"
#include "tokenizer/template_lexer.h"

namespace dspark::tokenizer::jinja {

// Throws SyntaxError.
Program parse_template(std::string_view source, const Limits& limits);

// The grammar of expressions; the parser of statements builds on it.
class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const Limits& limits)
      : tokens_(std::move(tokens)), limits_(limits) {}

 protected:
  // Counts nesting while it lives.
  class Nest {
   public:
    explicit Nest(ExpressionParser& parser);
    ~Nest() { --parser_.nesting_; }

   private:
    ExpressionParser& parser_;
  };

  const Token& token() const { return tokens_[at_]; }
  const Token& next_token() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool at(Token::Kind kind) const { return token().kind == kind; }
  bool at_operator(std::string_view op) const;
  bool at_name(std::string_view name) const;
  bool at_any_name(std::initializer_list<std::string_view> names) const;
  bool take_operator(std::string_view op);
  bool take_name(std::string_view name);
  void advance() { at_ += at_ + 1 < tokens_.size(); }
  void expect_operator(std::string_view op);
  std::string expect_identifier(std::string_view what);
  [[noreturn]] void fail(std::string message) const { throw SyntaxError{token().line, message}; }
  [[noreturn]] void unexpected(std::string_view wanted) const;

  int symbol(const std::string& name);
  ExprPtr make(int line, Expr::Node node) const;

  // template_operand_parser.cc has what is no operator.
  ExprPtr parse_expression() { return parse_conditional(); }
  ExprPtr parse_or();
  // A tuple without brackets where there are commas. Stops at `end`, where given.
  ExprPtr parse_tuple(bool with_conditional, std::string_view end = {});
  // What can be assigned to: a name, names with commas or brackets; namespace attributes for set.
  ExprPtr parse_target(bool with_commas, bool with_attribute);
  CallArguments parse_arguments();
  // The filters after a '|'; input may be null.
  ExprPtr parse_filters(ExprPtr input, bool first_bar_read);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Limits limits_;
  int nesting_ = 0;
  std::vector<std::string> symbols_;
  std::unordered_map<std::string, int> symbol_of_;

 private:
  ExprPtr parse_conditional();
  ExprPtr parse_logic(bool is_or);
  ExprPtr parse_not();
  ExprPtr parse_comparison();
  ExprPtr parse_sum();
  ExprPtr parse_concatenation();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filter);
  ExprPtr parse_primary();
  ExprPtr parse_postfix(ExprPtr object);
  ExprPtr parse_subscript(ExprPtr object);
  ExprPtr parse_postfix_filters(ExprPtr input);
  ExprPtr parse_test(ExprPtr input);
  ExprPtr parse_list();
  ExprPtr parse_dict();
  bool at_expression_end() const;
};

}  // namespace dspark::tokenizer::jinja

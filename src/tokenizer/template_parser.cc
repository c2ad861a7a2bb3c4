#include "tokenizer/template_parser.h"

#include <algorithm>
#include <array>

namespace dspark::tokenizer::jinja {

namespace {

using Names = std::initializer_list<std::string_view>;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Program run() {
    Program program;
    program.body = parse_body({});
    program.symbols = std::move(symbols_);
    return program;
  }

 private:
  // Statements up to one of the block names in `ends`, whose name is left to read; with no ends, up
  // to the end of the template.
  Body parse_body(Names ends) {
    Nest nest(*this);
    const int opened_line = token().line;
    Body body;
    for (;;) {
      const int line = token().line;
      if (at(Token::Kind::kText)) {
        add(body, line, Text{token().text});
        advance();
      } else if (at(Token::Kind::kVariableBegin)) {
        advance();
        add(body, line, Print{parse_tuple(true)});
        if (!at(Token::Kind::kVariableEnd)) unexpected("'}}'");
        advance();
      } else if (at(Token::Kind::kBlockBegin)) {
        advance();
        if (at_any_name(ends)) return body;
        parse_statement(body, line);
      } else {
        if (ends.size() > 0)
          throw SyntaxError{opened_line,
                            fmt::format("the block has no {{% {} %}}", *(ends.end() - 1))};
        return body;
      }
    }
  }

  // The same, with the end's name read.
  Body parse_body_to(std::string_view end) {
    Body body = parse_body({end});
    advance();
    return body;
  }

  template <class Node>
  static void add(Body& body, int line, Node node) {
    body.push_back(std::make_unique<Statement>(Statement{line, std::move(node)}));
  }

  void end_block() {
    if (!at(Token::Kind::kBlockEnd)) unexpected("'%}'");
    advance();
  }

  void parse_statement(Body& body, int line) {
    const std::string name = expect_identifier("a statement's name");
    if (name == "if") {
      add(body, line, parse_if());
    } else if (name == "for") {
      add(body, line, parse_for());
    } else if (name == "set") {
      parse_set(body, line);
    } else if (name == "macro") {
      add(body, line, parse_macro());
    } else if (name == "call") {
      add(body, line, parse_call());
    } else if (name == "filter") {
      ExprPtr filter = parse_filters(nullptr, true);
      end_block();
      add(body, line, FilterBlock{std::move(filter), parse_body_to("endfilter")});
    } else if (name == "with") {
      add(body, line, parse_with());
    } else if (name == "generation") {
      // Marks the assistant's own tokens for training; its text is as any other.
      end_block();
      add(body, line, With{{}, parse_body_to("endgeneration")});
    } else if (name == "break" || name == "continue") {
      if (loops_ == 0) throw SyntaxError{line, fmt::format("'{}' outside a loop", name)};
      if (name == "break")
        add(body, line, Break{});
      else
        add(body, line, Continue{});
    } else {
      throw SyntaxError{line, fmt::format("unknown or unsupported statement '{}'", name)};
    }
    end_block();
  }

  If parse_if() {
    If node;
    for (;;) {
      ExprPtr test = parse_tuple(false);
      end_block();
      node.branches.emplace_back(std::move(test), parse_body({"elif", "else", "endif"}));
      if (take_name("elif")) continue;
      if (take_name("else")) {
        end_block();
        node.otherwise = parse_body({"endif"});
      }
      advance();
      return node;
    }
  }

  For parse_for() {
    For node;
    node.target = parse_target(true, false);
    if (!take_name("in")) unexpected("'in'");
    node.sequence = parse_tuple(false);
    if (take_name("if")) node.filter = parse_expression();
    if (at_name("recursive")) fail("a recursive for loop is not supported");
    end_block();
    node.loop_symbol = symbol("loop");
    ++loops_;
    node.body = parse_body({"else", "endfor"});
    --loops_;
    if (take_name("else")) {
      end_block();
      node.otherwise = parse_body({"endfor"});
    }
    advance();
    return node;
  }

  void parse_set(Body& body, int line) {
    ExprPtr target = parse_target(true, true);
    if (take_operator("=")) {
      add(body, line, Set{std::move(target), parse_tuple(true)});
      return;
    }
    ExprPtr filter;
    if (at_operator("|")) filter = parse_filters(nullptr, false);
    end_block();
    Body content = parse_body_to("endset");
    add(body, line, SetBlock{std::move(target), std::move(filter), std::move(content)});
  }

  void parse_signature(Macro& macro) {
    while (!take_operator(")")) {
      if (!macro.parameters.empty()) {
        expect_operator(",");
        if (take_operator(")")) break;
      }
      const std::string name = expect_identifier("a parameter's name");
      for (const auto& [other, unused] : macro.parameters)
        if (other == name) fail(fmt::format("two parameters are called '{}'", name));
      macro.parameters.emplace_back(name, symbol(name));
      if (take_operator("="))
        macro.defaults.push_back(parse_expression());
      else if (!macro.defaults.empty())
        fail("a parameter without a default after one with a default");
      if (macro.parameters.size() > kMostParameters)
        fail(fmt::format("more than {} parameters", kMostParameters));
    }
  }

  void parse_macro_body(Macro& macro, std::string_view end) {
    end_block();
    macro.symbol = symbol(macro.name);
    macro.caller_symbol = symbol("caller");
    macro.varargs_symbol = symbol("varargs");
    macro.kwargs_symbol = symbol("kwargs");
    const size_t begin = at_;
    const int outer_loops = std::exchange(loops_, 0);
    macro.body = parse_body_to(end);
    loops_ = outer_loops;
    const auto names = [&](std::string_view name) {
      return std::any_of(tokens_.begin() + static_cast<ptrdiff_t>(begin),
                         tokens_.begin() + static_cast<ptrdiff_t>(at_), [&](const Token& token) {
                           return token.kind == Token::Kind::kName && token.text == name;
                         });
    };
    macro.takes_caller = names("caller");
    macro.takes_varargs = names("varargs");
    macro.takes_kwargs = names("kwargs");
  }

  Macro parse_macro() {
    Macro macro;
    macro.name = expect_identifier("the macro's name");
    expect_operator("(");
    parse_signature(macro);
    parse_macro_body(macro, "endmacro");
    return macro;
  }

  CallBlock parse_call() {
    CallBlock block;
    block.caller.name = "caller";
    if (take_operator("(")) parse_signature(block.caller);
    block.call = parse_expression();
    if (!std::holds_alternative<Call>(block.call->node)) fail("expected a call");
    parse_macro_body(block.caller, "endcall");
    return block;
  }

  With parse_with() {
    With node;
    while (!at(Token::Kind::kBlockEnd)) {
      if (!node.assignments.empty()) expect_operator(",");
      ExprPtr target = parse_target(false, false);
      expect_operator("=");
      node.assignments.emplace_back(std::move(target), parse_expression());
    }
    end_block();
    node.body = parse_body_to("endwith");
    return node;
  }

  static constexpr size_t kMostParameters = 100;
  int loops_ = 0;
};

}  // namespace

Program parse_template(std::string_view source, const Limits& limits) {
  return Parser(tokenize(source), limits).run();
}

}  // namespace dspark::tokenizer::jinja

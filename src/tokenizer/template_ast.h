// The tree of a compiled template. Nodes are immutable after parsing and shared by all renders.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tokenizer/template_value.h"

namespace dspark::tokenizer::jinja {

struct Expr;
struct Statement;
using ExprPtr = std::unique_ptr<Expr>;
using Body = std::vector<std::unique_ptr<Statement>>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr star, double_star;  // *list and **dict; null when absent
};

struct Constant {
  Value value;
};
struct Name {
  std::string name;
  int symbol;
};
struct ListLiteral {
  bool is_tuple;
  std::vector<ExprPtr> items;
};
struct DictLiteral {
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};
enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};
struct Unary {
  enum class Kind : uint8_t { kMinus, kPlus, kNot } kind;
  ExprPtr operand;
};
// first op rest[0] op rest[1] ..., from left to right.
struct Arithmetic {
  ExprPtr first;
  std::vector<std::pair<Operator, ExprPtr>> rest;
};
// a < b <= c: every neighbouring pair must hold.
struct Comparison {
  ExprPtr first;
  std::vector<std::pair<Operator, ExprPtr>> rest;
};
struct Logic {
  bool is_or;
  std::vector<ExprPtr> operands;
};
struct Concatenation {
  std::vector<ExprPtr> operands;
};
struct Conditional {
  ExprPtr test, then, otherwise;  // otherwise may be null
};
struct Attribute {
  ExprPtr object;
  std::string name;
};
struct Item {
  ExprPtr object, index;
};
struct Slice {
  ExprPtr object, start, stop, step;  // each of the last three may be null
};
struct Call {
  ExprPtr callee;
  CallArguments arguments;
};
// function is null when there is no filter or test of that name: an error only if it is reached.
struct Filter {
  ExprPtr input;  // null: the text of a filter block or block set
  std::string name;
  Function function;
  CallArguments arguments;
};
struct Test {
  ExprPtr input;
  std::string name;
  Function function;
  CallArguments arguments;
};

struct Expr {
  using Node =
      std::variant<Constant, Name, ListLiteral, DictLiteral, Unary, Arithmetic, Comparison, Logic,
                   Concatenation, Conditional, Attribute, Item, Slice, Call, Filter, Test>;
  int line;
  int height;  // of the tree below, this node included
  Node node;
};

// Of a tree with this root: 1 for a root without branches.
int tree_height(const Expr::Node& root);

struct Text {
  std::string text;
};
struct Print {
  ExprPtr value;
};
struct If {
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};
struct For {
  ExprPtr target;  // a Name or a tuple of targets
  ExprPtr sequence;
  ExprPtr filter;  // may be null
  Body body, otherwise;
  int loop_symbol;
};
struct Set {
  ExprPtr target;  // a Name, a tuple of targets, or an Attribute of a namespace
  ExprPtr value;
};
struct SetBlock {
  ExprPtr target;
  ExprPtr filter;  // may be null
  Body body;
};
struct Macro {
  std::string name;
  int symbol;
  std::vector<std::pair<std::string, int>> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;
  int caller_symbol, varargs_symbol, kwargs_symbol;
  bool takes_caller, takes_varargs, takes_kwargs;  // whether the body names them
};
struct CallBlock {
  Macro caller;
  ExprPtr call;
};
struct FilterBlock {
  ExprPtr filter;
  Body body;
};
struct With {
  std::vector<std::pair<ExprPtr, ExprPtr>> assignments;  // target, value
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  using Node = std::variant<Text, Print, If, For, Set, SetBlock, Macro, CallBlock, FilterBlock,
                            With, Break, Continue>;
  int line;
  Node node;
};

struct Program {
  Body body;
  std::vector<std::string> symbols;  // every name in the template; a Name's symbol indexes it
};

}  // namespace dspark::tokenizer::jinja

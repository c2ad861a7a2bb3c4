// Runs a program's tree. One Interpreter is one render.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/template_ast.h"

namespace dspark::tokenizer::jinja {

// The variables of one pass of a block. Blocks that open one: loops, macros, with, block set,
// filter.
struct Scope : std::enable_shared_from_this<Scope> {
  std::shared_ptr<Scope> parent;  // null: the template's own variables
  std::vector<std::pair<int, Value>> variables;
};

class Interpreter {
 public:
  Interpreter(const Program& program, const Limits& limits, int64_t now_unix_s);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // Throws TemplateError; line() is then where it happened.
  std::string render(const nlohmann::ordered_json& context);

  int line() const { return line_; }
  Budget& budget() { return budget_; }
  int64_t now_unix_s() const { return now_unix_s_; }
  Value call(const Value& callee, Arguments& arguments);
  // The interpreter owns every namespace, since they can hold each other.
  Value make_namespace(Dict attributes);

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  class Depth;

  Flow run(const Body& body);
  Flow run(const Body& body, std::shared_ptr<Scope> scope);
  Flow run(const Text& node);
  Flow run(const Print& node);
  Flow run(const If& node);
  Flow run(const For& node);
  Flow run(const Set& node);
  Flow run(const SetBlock& node);
  Flow run(const Macro& node);
  Flow run(const CallBlock& node);
  Flow run(const FilterBlock& node);
  Flow run(const With& node);
  Flow run(const Break&) { return Flow::kBreak; }
  Flow run(const Continue&) { return Flow::kContinue; }
  // The text that a body gives in a scope of its own.
  std::pair<Value, Flow> capture(const Body& body, std::shared_ptr<Scope> scope);

  Value evaluate(const Expr& expr);
  Value evaluate(const Constant& node, int line) { return node.value; }
  Value evaluate(const Name& node, int line);
  Value evaluate(const ListLiteral& node, int line);
  Value evaluate(const DictLiteral& node, int line);
  Value evaluate(const Unary& node, int line);
  Value evaluate(const Arithmetic& node, int line);
  Value evaluate(const Comparison& node, int line);
  Value evaluate(const Logic& node, int line);
  Value evaluate(const Concatenation& node, int line);
  Value evaluate(const Conditional& node, int line);
  Value evaluate(const Attribute& node, int line);
  Value evaluate(const Item& node, int line);
  Value evaluate(const Slice& node, int line);
  Value evaluate(const Call& node, int line);
  Value evaluate(const Filter& node, int line);
  Value evaluate(const Test& node, int line);
  Arguments evaluate(const CallArguments& node);

  void assign(const Expr& target, const Value& value);
  void assign(int symbol, Value value);
  std::shared_ptr<Sequence> filtered(const For& node, const Sequence& all);
  Value make_macro(const Macro& node);
  Value call_macro(const Callable& macro, Arguments& arguments);
  std::shared_ptr<Scope> new_scope(std::shared_ptr<Scope> parent);

  const Program& program_;
  Budget budget_;
  int64_t now_unix_s_;
  int line_ = 1;
  int depth_ = 0;
  int calls_ = 0;
  std::string* out_ = nullptr;
  Value block_text_;                           // what the filters of a block are applied to
  std::vector<std::optional<Value>> globals_;  // by symbol: the context, and what the template sets
  std::shared_ptr<Scope> scope_;               // null at the template's top level
  // A macro points at the scope it was defined in, and a scope holds its macros: kept until the
  // end.
  std::vector<std::shared_ptr<Scope>> macro_scopes_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace dspark::tokenizer::jinja

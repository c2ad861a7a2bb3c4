// Statements, variables and calls; template_evaluate.cc holds the expressions.
#include "tokenizer/template_interpreter.h"

#include <algorithm>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_depth.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

constexpr size_t kScopeBytes = 128;
constexpr uint64_t kScopeSteps = 4;  // an allocation takes longer than a node

// What a loop's own state holds must not outlive the loop: it could hold the loop itself.
class LoopEnd {
 public:
  explicit LoopEnd(Loop& loop) : loop_(loop) {}
  ~LoopEnd() {
    loop_.finished = true;
    loop_.last_changed.clear();
  }

 private:
  Loop& loop_;
};

Value make_function(std::string_view name, Function function) {
  auto callable = std::make_shared<Callable>();
  callable->name = name;
  callable->function = function;
  return Value(Value::Kind::kCallable, std::move(callable));
}

}  // namespace

Interpreter::Interpreter(const Program& program, const Limits& limits, int64_t now_unix_s)
    : program_(program), budget_(limits), now_unix_s_(now_unix_s) {}

Interpreter::~Interpreter() {
  globals_.clear();
  for (const auto& scope : macro_scopes_) scope->variables.clear();
  for (const auto& space : namespaces_) space->attributes = {};
}

std::string Interpreter::render(const nlohmann::ordered_json& context) {
  if (!context.is_object()) raise("the context is not an object");
  const Value variables = from_json(context, budget_.limits());
  globals_.resize(program_.symbols.size());
  for (size_t i = 0; i < globals_.size(); ++i) {
    const std::string& name = program_.symbols[i];
    for (const Builtin& builtin : global_functions())
      if (builtin.name == name) globals_[i] = make_function(name, builtin.function);
    if (const Value* value = variables.dict().find(name)) globals_[i] = *value;
  }
  std::string out;
  out_ = &out;
  run(program_.body);
  return out;
}

std::shared_ptr<Scope> Interpreter::new_scope(std::shared_ptr<Scope> parent) {
  budget_.work(kScopeBytes);
  budget_.step(kScopeSteps);
  auto scope = std::make_shared<Scope>();
  scope->parent = std::move(parent);
  return scope;
}

Interpreter::Flow Interpreter::run(const Body& body) {
  Depth guard(*this);
  for (const auto& statement : body) {
    budget_.step();
    line_ = statement->line;
    const Flow flow = std::visit([this](const auto& node) { return run(node); }, statement->node);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Body& body, std::shared_ptr<Scope> scope) {
  scope_.swap(scope);
  const Flow flow = run(body);
  scope_.swap(scope);
  return flow;
}

std::pair<Value, Interpreter::Flow> Interpreter::capture(const Body& body,
                                                         std::shared_ptr<Scope> scope) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const Flow flow = run(body, std::move(scope));
  out_ = outer;
  return {budget_.string(std::move(text)), flow};
}

Interpreter::Flow Interpreter::run(const Text& node) {
  budget_.work(node.text.size());
  budget_.expect_string(out_->size() + node.text.size());
  *out_ += node.text;
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Print& node) {
  const Value value = evaluate(*node.value);
  const size_t before = out_->size();
  append_str(*out_, value, budget_);
  if (!value.is(Value::Kind::kString)) budget_.work(out_->size() - before);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const If& node) {
  for (const auto& [test, body] : node.branches)
    if (evaluate(*test).truthy()) return run(body);
  return run(node.otherwise);
}

std::shared_ptr<Sequence> Interpreter::filtered(const For& node, const Sequence& all) {
  auto kept = std::make_shared<Sequence>();
  const auto outer = scope_;
  for (const Value& item : all.items) {
    scope_ = new_scope(outer);
    assign(*node.target, item);
    if (evaluate(*node.filter).truthy()) kept->items.push_back(item);
  }
  scope_ = outer;
  kept->depth = all.depth;
  budget_.work(kept->items.size() * sizeof(Value));
  return kept;
}

Interpreter::Flow Interpreter::run(const For& node) {
  const Value iterable = evaluate(*node.sequence);
  line_ = node.sequence->line;
  auto loop = std::make_shared<Loop>();
  loop->sequence = iterate(iterable, budget_).sequence();
  if (node.filter) loop->sequence = filtered(node, *loop->sequence);
  loop->depth = loop->sequence->depth + 1;
  budget_.check_depth(loop->depth);
  const auto items = loop->sequence;
  if (items->items.empty()) return run(node.otherwise, new_scope(scope_));

  LoopEnd end(*loop);
  const Value loop_value(Value::Kind::kLoop, loop);
  const auto outer = scope_;
  Flow flow = Flow::kNormal;
  for (; loop->index < items->items.size(); ++loop->index) {
    budget_.step();
    scope_ = new_scope(outer);
    assign(node.loop_symbol, loop_value);
    assign(*node.target, items->items[loop->index]);
    flow = run(node.body);
    if (flow == Flow::kBreak) break;
  }
  scope_ = outer;
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Set& node) {
  assign(*node.target, evaluate(*node.value));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const SetBlock& node) {
  auto [text, flow] = capture(node.body, new_scope(scope_));
  if (flow != Flow::kNormal) return flow;
  if (node.filter) {
    block_text_ = std::move(text);
    text = evaluate(*node.filter);
  }
  assign(*node.target, text);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Macro& node) {
  assign(node.symbol, make_macro(node));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const CallBlock& node) {
  const auto& call_node = std::get<Call>(node.call->node);
  const Value callee = evaluate(*call_node.callee);
  Arguments arguments = evaluate(call_node.arguments);
  arguments.keyword.emplace_back("caller", make_macro(node.caller));
  line_ = node.call->line;
  append_str(*out_, call(callee, arguments), budget_);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const FilterBlock& node) {
  auto [text, flow] = capture(node.body, new_scope(scope_));
  if (flow != Flow::kNormal) return flow;
  block_text_ = std::move(text);
  append_str(*out_, evaluate(*node.filter), budget_);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const With& node) {
  auto scope = new_scope(scope_);
  std::vector<Value> values;
  for (const auto& [target, value] : node.assignments) values.push_back(evaluate(*value));
  scope_.swap(scope);
  for (size_t i = 0; i < values.size(); ++i) assign(*node.assignments[i].first, values[i]);
  const Flow flow = run(node.body);
  scope_.swap(scope);
  return flow;
}

void Interpreter::assign(int symbol, Value value) {
  if (!scope_) {
    globals_[static_cast<size_t>(symbol)] = std::move(value);
    return;
  }
  auto& variables = scope_->variables;
  budget_.step(variables.size() / 16);
  const auto found = std::find_if(variables.begin(), variables.end(),
                                  [&](const auto& entry) { return entry.first == symbol; });
  if (found != variables.end())
    found->second = std::move(value);
  else
    variables.emplace_back(symbol, std::move(value));
}

void Interpreter::assign(const Expr& target, const Value& value) {
  if (const auto* name = std::get_if<Name>(&target.node)) return assign(name->symbol, value);
  if (const auto* attribute = std::get_if<Attribute>(&target.node)) {
    const Value space = evaluate(*attribute->object);
    line_ = target.line;
    if (!space.is(Value::Kind::kNamespace))
      raise("can't set attribute '{}': '{}' is not a namespace", attribute->name,
            space.type_name());
    budget_.check_depth(value.depth() + 1);
    budget_.work(sizeof(Dict::Entry));
    space.name_space().attributes.set(attribute->name, value);
    return;
  }
  const auto& targets = std::get<ListLiteral>(target.node).items;
  const auto values = iterate(value, budget_);
  if (values.size() != targets.size())
    raise("{} names to assign to, but {} values", targets.size(), values.size());
  for (size_t i = 0; i < targets.size(); ++i) assign(*targets[i], values[i]);
}

Value Interpreter::make_namespace(Dict attributes) {
  budget_.work(sizeof(Namespace) + attributes.entries.size() * sizeof(Dict::Entry));
  auto space = std::make_shared<Namespace>();
  space->depth = 0;  // what it holds may change, and is bounded on its own
  space->attributes = std::move(attributes);
  namespaces_.push_back(space);
  return Value(Value::Kind::kNamespace, std::move(space));
}

Value Interpreter::make_macro(const Macro& node) {
  budget_.work(sizeof(Callable));
  auto macro = std::make_shared<Callable>();
  macro->name = node.name;
  macro->macro = &node;
  macro->scope = scope_.get();
  if (scope_ && (macro_scopes_.empty() || macro_scopes_.back() != scope_))
    macro_scopes_.push_back(scope_);
  return Value(Value::Kind::kCallable, std::move(macro));
}

Value Interpreter::call(const Value& callee, Arguments& arguments) {
  if (callee.is(Value::Kind::kUndefined)) raise("{}", callee.undefined_reason());
  if (!callee.is(Value::Kind::kCallable)) raise("'{}' can't be called", callee.type_name());
  const Callable& callable = callee.callable();
  if (callable.macro) return call_macro(callable, arguments);
  return callable.function(*this, callable.receiver, arguments);
}

Value Interpreter::call_macro(const Callable& callable, Arguments& arguments) {
  const Macro& macro = *callable.macro;
  if (++calls_ > budget_.limits().call_depth)
    raise("macros call each other more than {} deep", budget_.limits().call_depth);
  const int line = line_;
  auto outer = scope_;
  scope_ = new_scope(callable.scope ? callable.scope->shared_from_this() : nullptr);

  const size_t count = macro.parameters.size();
  std::vector<std::optional<Value>> given(count);
  for (size_t i = 0; i < std::min(count, arguments.positional.size()); ++i)
    given[i] = std::move(arguments.positional[i]);
  std::vector<Value> varargs;
  for (size_t i = count; i < arguments.positional.size(); ++i)
    varargs.push_back(std::move(arguments.positional[i]));
  if (!varargs.empty() && !macro.takes_varargs)
    raise("macro '{}' takes not more than {} arguments", macro.name, count);
  Dict kwargs;
  std::optional<Value> caller;
  for (auto& [name, value] : arguments.keyword) {
    const auto parameter =
        std::find_if(macro.parameters.begin(), macro.parameters.end(),
                     [&, &wanted = name](const auto& p) { return p.first == wanted; });
    if (parameter != macro.parameters.end()) {
      auto& place = given[static_cast<size_t>(parameter - macro.parameters.begin())];
      if (place) raise("macro '{}' got two values for '{}'", macro.name, name);
      place = std::move(value);
    } else if (name == "caller" && macro.takes_caller) {
      caller = std::move(value);
    } else if (macro.takes_kwargs) {
      kwargs.set(name, std::move(value));
    } else {
      raise("macro '{}' takes no argument '{}'", macro.name, name);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const auto& [name, symbol] = macro.parameters[i];
    const size_t first_default = count - macro.defaults.size();
    if (given[i])
      assign(symbol, *std::move(given[i]));
    else if (i >= first_default)
      assign(symbol, evaluate(*macro.defaults[i - first_default]));
    else
      assign(symbol, Value::undefined(fmt::format("parameter '{}' was not provided", name)));
  }
  if (macro.takes_caller)
    assign(macro.caller_symbol, caller ? *caller : Value::undefined("no caller defined"));
  if (macro.takes_varargs)
    assign(macro.varargs_symbol, budget_.sequence(std::move(varargs), SequenceKind::kTuple));
  if (macro.takes_kwargs) assign(macro.kwargs_symbol, budget_.dict(std::move(kwargs)));

  Value text = capture(macro.body, scope_).first;
  scope_ = std::move(outer);
  line_ = line;
  --calls_;
  return text;
}

}  // namespace dspark::tokenizer::jinja

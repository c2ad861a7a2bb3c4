#include <algorithm>

#include "tokenizer/template_depth.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  Depth guard(*this);
  budget_.step();
  line_ = expr.line;
  return std::visit([&](const auto& node) { return evaluate(node, expr.line); }, expr.node);
}

Value Interpreter::evaluate(const Name& node, int line) {
  for (const Scope* scope = scope_.get(); scope; scope = scope->parent.get()) {
    budget_.step(scope->variables.size() / 16);
    for (const auto& [symbol, value] : scope->variables)
      if (symbol == node.symbol) return value;
  }
  const auto& global = globals_[static_cast<size_t>(node.symbol)];
  return global ? *global : Value::undefined(fmt::format("'{}' is undefined", node.name));
}

Value Interpreter::evaluate(const ListLiteral& node, int line) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const auto& item : node.items) items.push_back(evaluate(*item));
  line_ = line;
  return budget_.sequence(std::move(items),
                          node.is_tuple ? SequenceKind::kTuple : SequenceKind::kList);
}

Value Interpreter::evaluate(const DictLiteral& node, int line) {
  Dict dict;
  for (const auto& [key_node, value_node] : node.entries) {
    Value key = evaluate(*key_node);
    Value value = evaluate(*value_node);
    line_ = line;
    dict.set(std::move(key), std::move(value), budget_);
  }
  return budget_.dict(std::move(dict));
}

Value Interpreter::evaluate(const Unary& node, int line) {
  const Value operand = evaluate(*node.operand);
  line_ = line;
  switch (node.kind) {
    case Unary::Kind::kMinus:
      return negative(operand);
    case Unary::Kind::kPlus:
      return positive(operand);
    case Unary::Kind::kNot:
      break;
  }
  return Value::boolean(!operand.truthy());
}

Value Interpreter::evaluate(const Arithmetic& node, int line) {
  Value result = evaluate(*node.first);
  // A sum of many strings is built in one buffer: each + would copy what is there already.
  std::string text;
  bool in_text = false;
  for (const auto& [op, operand_node] : node.rest) {
    const Value operand = evaluate(*operand_node);
    line_ = line;
    const bool joins = op == Operator::kAdd && operand.is(Value::Kind::kString) &&
                       (in_text || result.is(Value::Kind::kString));
    if (!joins) {
      if (in_text) result = budget_.string(std::move(text));
      in_text = false;
      result = arithmetic(op, result, operand, budget_);
      continue;
    }
    if (!in_text) text = result.text();
    in_text = true;
    budget_.work(operand.text().size());
    budget_.expect_string(text.size() + operand.text().size());
    text += operand.text();
  }
  return in_text ? budget_.string(std::move(text)) : result;
}

Value Interpreter::evaluate(const Comparison& node, int line) {
  Value left = evaluate(*node.first);
  for (const auto& [op, operand] : node.rest) {
    Value right = evaluate(*operand);
    line_ = line;
    if (!compare(op, left, right, budget_)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate(const Logic& node, int line) {
  Value value;
  for (const auto& operand : node.operands) {
    value = evaluate(*operand);
    if (value.truthy() == node.is_or) break;
  }
  return value;
}

Value Interpreter::evaluate(const Concatenation& node, int line) {
  std::string text;
  for (const auto& operand : node.operands) {
    const Value value = evaluate(*operand);
    line_ = line;
    append_str(text, value, budget_);
  }
  return budget_.string(std::move(text));
}

Value Interpreter::evaluate(const Conditional& node, int line) {
  if (evaluate(*node.test).truthy()) return evaluate(*node.then);
  if (node.otherwise) return evaluate(*node.otherwise);
  return Value::undefined("the inline if was false and has no else");
}

Value Interpreter::evaluate(const Attribute& node, int line) {
  const Value object = evaluate(*node.object);
  line_ = line;
  return get_attribute(object, node.name, budget_);
}

Value Interpreter::evaluate(const Item& node, int line) {
  const Value object = evaluate(*node.object);
  const Value index = evaluate(*node.index);
  line_ = line;
  return get_item(object, index, budget_);
}

Value Interpreter::evaluate(const Slice& node, int line) {
  const Value object = evaluate(*node.object);
  const auto bound = [&](const ExprPtr& part) { return part ? evaluate(*part) : Value::none(); };
  const Value start = bound(node.start), stop = bound(node.stop), step = bound(node.step);
  line_ = line;
  return slice(object, start, stop, step, budget_);
}

Arguments Interpreter::evaluate(const CallArguments& node) {
  Arguments arguments;
  arguments.positional.reserve(node.positional.size());
  for (const auto& value : node.positional) arguments.positional.push_back(evaluate(*value));
  for (const auto& [name, value] : node.keyword)
    arguments.keyword.emplace_back(name, evaluate(*value));
  if (node.star) {
    const auto more = iterate(evaluate(*node.star), budget_);
    arguments.positional.insert(arguments.positional.end(), more.begin(), more.end());
  }
  if (node.double_star) {
    const Value more = evaluate(*node.double_star);
    if (!more.is(Value::Kind::kDict)) raise("** needs a dictionary, not '{}'", more.type_name());
    for (const auto& entry : more.dict().entries) {
      if (!entry.key.is(Value::Kind::kString)) raise("** needs a dictionary with string keys");
      budget_.work(entry.key.text().size() + sizeof(Value));
      arguments.keyword.emplace_back(entry.key.text(), entry.value);
    }
  }
  return arguments;
}

Value Interpreter::evaluate(const Call& node, int line) {
  const Value callee = evaluate(*node.callee);
  Arguments arguments = evaluate(node.arguments);
  line_ = line;
  return call(callee, arguments);
}

Value Interpreter::evaluate(const Filter& node, int line) {
  const Value input = node.input ? evaluate(*node.input) : std::exchange(block_text_, Value());
  Arguments arguments = evaluate(node.arguments);
  line_ = line;
  if (!node.function) raise("there is no filter '{}'", node.name);
  return node.function(*this, input, arguments);
}

Value Interpreter::evaluate(const Test& node, int line) {
  const Value input = evaluate(*node.input);
  Arguments arguments = evaluate(node.arguments);
  line_ = line;
  if (!node.function) raise("there is no test '{}'", node.name);
  return node.function(*this, input, arguments);
}

}  // namespace dspark::tokenizer::jinja

#include "tokenizer/template_operators.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;

[[noreturn]] void overflow() { raise("an integer would not fit 64 bits"); }

std::string_view symbol_of(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    case Operator::kPower:
      return "**";
    default:
      return "?";
  }
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return result;
}

double float_modulo(double a, double b) {
  double mod = std::fmod(a, b);
  if (mod == 0) return std::copysign(0.0, b);
  return (b < 0) != (mod < 0) ? mod + b : mod;
}

double float_floor_divide(double a, double b) {
  const double mod = std::fmod(a, b);
  double div = (a - mod) / b;
  if (mod != 0 && (b < 0) != (mod < 0)) div -= 1;
  if (div == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(div);
  return div - floored > 0.5 ? floored + 1 : floored;
}

Value integer_arithmetic(Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  const bool divides =
      op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
  if (divides && b == 0) raise("division by zero");
  switch (op) {
    case Operator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) overflow();
      return Value::integer(result);
    case Operator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return Value::integer(result);
    case Operator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow();
      return Value::integer(result);
    case Operator::kDivide:
      return Value::real(static_cast<double>(a) / static_cast<double>(b));
    case Operator::kFloorDivide:
      if (a == INT64_MIN && b == -1) overflow();
      result = a / b;
      return Value::integer(a % b != 0 && (a < 0) != (b < 0) ? result - 1 : result);
    case Operator::kModulo:
      if (b == -1) return Value::integer(0);
      result = a % b;
      return Value::integer(result != 0 && (result < 0) != (b < 0) ? result + b : result);
    case Operator::kPower:
      if (b >= 0) return Value::integer(integer_power(a, b));
      if (a == 0) raise("division by zero");
      return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
    default:
      raise("not arithmetic");
  }
}

Value float_arithmetic(Operator op, double a, double b) {
  const bool divides =
      op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
  if (divides && b == 0) raise("division by zero");
  switch (op) {
    case Operator::kAdd:
      return Value::real(a + b);
    case Operator::kSubtract:
      return Value::real(a - b);
    case Operator::kMultiply:
      return Value::real(a * b);
    case Operator::kDivide:
      return Value::real(a / b);
    case Operator::kFloorDivide:
      return Value::real(float_floor_divide(a, b));
    case Operator::kModulo:
      return Value::real(float_modulo(a, b));
    case Operator::kPower: {
      if (a == 0 && b < 0) raise("division by zero");
      const double result = std::pow(a, b);
      if (std::isfinite(a) && std::isfinite(b) && !std::isfinite(result))
        raise("{} ** {} is not a number", float_repr(a), float_repr(b));
      return Value::real(result);
    }
    default:
      raise("not arithmetic");
  }
}

Value repeat(const Value& value, int64_t times, Budget& budget) {
  const size_t count = times > 0 ? static_cast<size_t>(times) : 0;
  const bool is_string = value.is(Kind::kString);
  const size_t size = is_string ? value.text().size() : value.items().size();
  if (size > 0 && count > budget.limits().string_bytes / size)
    raise("a value repeated {} times would be too long", times);
  if (is_string) {
    std::string text;
    budget.expect_string(size * count);
    text.reserve(size * count);
    for (size_t i = 0; size > 0 && i < count; ++i) text += value.text();
    return budget.string(std::move(text));
  }
  budget.expect_items(size * count);
  std::vector<Value> items;
  items.reserve(size * count);
  for (size_t i = 0; size > 0 && i < count; ++i)
    items.insert(items.end(), value.items().begin(), value.items().end());
  return budget.sequence(std::move(items),
                         value.is_tuple() ? SequenceKind::kTuple : SequenceKind::kList);
}

bool can_repeat(const Value& value) {
  return value.is(Kind::kString) || value.is_tuple() || value.is_sequence(SequenceKind::kList);
}

std::optional<Value> concatenate(const Value& a, const Value& b, Budget& budget) {
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    std::string text;
    budget.expect_string(a.text().size() + b.text().size());
    text.reserve(a.text().size() + b.text().size());
    text += a.text();
    text += b.text();
    return budget.string(std::move(text));
  }
  const bool lists = a.is_sequence(SequenceKind::kList) && b.is_sequence(SequenceKind::kList);
  if (!lists && !(a.is_tuple() && b.is_tuple())) return std::nullopt;
  budget.expect_items(a.items().size() + b.items().size());
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return budget.sequence(std::move(items), lists ? SequenceKind::kList : SequenceKind::kTuple);
}

}  // namespace

Value arithmetic(Operator op, const Value& a, const Value& b, Budget& budget) {
  if (op == Operator::kModulo && a.is(Kind::kString)) return percent_format(a, b, budget);
  for (const Value* side : {&a, &b})
    if (side->is(Kind::kUndefined)) raise("{}", side->undefined_reason());
  if (a.is_integral() && b.is_integral()) return integer_arithmetic(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return float_arithmetic(op, a.as_float(), b.as_float());
  if (op == Operator::kMultiply) {
    if (can_repeat(a) && b.is_integral()) return repeat(a, b.as_int(), budget);
    if (can_repeat(b) && a.is_integral()) return repeat(b, a.as_int(), budget);
  }
  if (op == Operator::kAdd)
    if (auto result = concatenate(a, b, budget)) return *std::move(result);
  raise("'{}' {} '{}' is not possible", a.type_name(), symbol_of(op), b.type_name());
}

Value negative(const Value& value) {
  if (value.is(Kind::kFloat)) return Value::real(-value.as_float());
  if (value.is(Kind::kUndefined)) raise("{}", value.undefined_reason());
  if (!value.is_integral()) raise("'{}' has no sign to change", value.type_name());
  if (value.as_int() == INT64_MIN) overflow();
  return Value::integer(-value.as_int());
}

Value positive(const Value& value) {
  if (value.is(Kind::kUndefined)) raise("{}", value.undefined_reason());
  if (!value.is_number()) raise("'{}' has no sign", value.type_name());
  return value.is(Kind::kFloat) ? value : Value::integer(value.as_int());
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  switch (container.kind()) {
    case Kind::kString:
      if (!item.is(Kind::kString))
        raise("'in' a string needs a string on its left, not '{}'", item.type_name());
      budget.work(container.text().size());
      return find_text(container.text(), item.text()) != std::string_view::npos;
    case Kind::kDict:
      return container.dict().find(item, budget) != nullptr;
    case Kind::kSequence:
    case Kind::kUndefined: {
      const auto sequence = iterate(container, budget);
      return std::any_of(sequence.begin(), sequence.end(),
                         [&](const Value& other) { return equals(item, other, budget); });
    }
    default:
      raise("'in' needs a list, dictionary or string on its right, not '{}'",
            container.type_name());
  }
}

bool compare(Operator op, const Value& a, const Value& b, Budget& budget) {
  switch (op) {
    case Operator::kEqual:
      return equals(a, b, budget);
    case Operator::kNotEqual:
      return !equals(a, b, budget);
    case Operator::kLess:
      return less(a, b, budget);
    case Operator::kGreater:
      return less(b, a, budget);
    case Operator::kLessEqual:
      return less(a, b, budget) || equals(a, b, budget);
    case Operator::kGreaterEqual:
      return less(b, a, budget) || equals(a, b, budget);
    case Operator::kIn:
      return contains(b, a, budget);
    case Operator::kNotIn:
      return !contains(b, a, budget);
    default:
      raise("not a comparison");
  }
}

}  // namespace dspark::tokenizer::jinja

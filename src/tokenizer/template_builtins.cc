// Parameters, look-up, tests and global functions.
#include "tokenizer/template_builtins.h"

#include <algorithm>

#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;

constexpr int64_t kMostRangeItems = 100'000;  // Jinja's own sandbox allows as many

Function find_in(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const Builtin& builtin) { return builtin.name == name; });
  return found == table.end() ? nullptr : found->function;
}

}  // namespace

Parameters::Parameters(std::string_view what, Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t required)
    : what_(what) {
  CHECK(names.size() <= values_.size(), "{} has too many parameters", what);
  if (arguments.positional.size() > names.size())
    raise("{} takes at most {} arguments, not {}", what, names.size(), arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    values_[i] = std::move(arguments.positional[i]);
    given_[i] = true;
  }
  for (auto& [name, value] : arguments.keyword) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) raise("{} has no parameter '{}'", what, name);
    const auto i = static_cast<size_t>(found - names.begin());
    if (given_[i]) raise("{} got two values for '{}'", what, name);
    values_[i] = std::move(value);
    given_[i] = true;
  }
  for (size_t i = 0; i < required; ++i)
    if (!given_[i]) raise("{} needs the argument '{}'", what, *(names.begin() + i));
}

int64_t Parameters::integer(size_t i, int64_t otherwise) const {
  if (!has(i)) return otherwise;
  if (values_[i].is(Kind::kUndefined)) raise("{}", values_[i].undefined_reason());
  if (!values_[i].is_integral())
    raise("{} needs an integer, not '{}'", what_, values_[i].type_name());
  return values_[i].as_int();
}

const std::string& Parameters::text(size_t i) const {
  if (values_[i].is(Kind::kUndefined)) raise("{}", values_[i].undefined_reason());
  if (!values_[i].is(Kind::kString))
    raise("{} needs a string, not '{}'", what_, values_[i].type_name());
  return values_[i].text();
}

Function find_filter(std::string_view name) {
  const Function function = find_in(text_filters(), name);
  return function ? function : find_in(sequence_filters(), name);
}

Function find_test(std::string_view name) { return find_in(tests(), name); }

bool is_mutating_method(const Value& object, std::string_view name) {
  static constexpr std::array<std::string_view, 8> kList = {"append", "extend",  "insert", "pop",
                                                            "remove", "reverse", "sort",   "clear"};
  static constexpr std::array<std::string_view, 5> kDict = {"update", "pop", "popitem",
                                                            "setdefault", "clear"};
  const auto in = [&](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return (object.is_sequence(SequenceKind::kList) && in(kList)) ||
         (object.is(Kind::kDict) && in(kDict));
}

namespace {

Value truth(bool value) { return Value::boolean(value); }

template <Operator op>
Value test_compare(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the test", arguments, {"other"}, 1);
  return truth(compare(op, self, p[0], interpreter.budget()));
}

template <bool (*holds)(const Value&)>
Value test_if(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("the test", arguments, {});
  return truth(holds(self));
}

bool is_defined(const Value& v) { return !v.is(Kind::kUndefined); }
bool is_undefined(const Value& v) { return v.is(Kind::kUndefined); }
bool is_none(const Value& v) { return v.is(Kind::kNone); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is(Kind::kString); }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
bool is_callable(const Value& v) { return v.is(Kind::kCallable) || v.is(Kind::kUndefined); }
bool never(const Value&) { return false; }

bool is_iterable(const Value& v) {
  return v.is(Kind::kString) || v.is(Kind::kSequence) || v.is(Kind::kDict) ||
         v.is(Kind::kUndefined) || v.is(Kind::kLoop);
}

bool is_sequence(const Value& v) {
  return is_iterable(v) && !v.is(Kind::kLoop) && !v.is_sequence(SequenceKind::kView) &&
         !v.is_sequence(SequenceKind::kGenerator);
}

template <int64_t remainder>
Value test_parity(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the test", arguments, {});
  const Value rest = arithmetic(Operator::kModulo, self, Value::integer(2), interpreter.budget());
  return truth(equals(rest, Value::integer(remainder), interpreter.budget()));
}

Value test_divisible(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the test divisibleby", arguments, {"num"}, 1);
  const Value rest = arithmetic(Operator::kModulo, self, p[0], interpreter.budget());
  return truth(equals(rest, Value::integer(0), interpreter.budget()));
}

template <CharClass wanted, CharClass refused>
Value test_case(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the test", arguments, {});
  const std::string text = to_str(self, interpreter.budget());
  interpreter.budget().work(text.size() * 16);
  bool any = false;
  for (CharReader reader(text); !reader.done();) {
    const std::string_view c = reader.next();
    if (in_class(c, refused)) return truth(false);
    any = any || in_class(c, wanted);
  }
  return truth(any);
}

Value test_sameas(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("the test sameas", arguments, {"other"}, 1);
  const Value& other = p[0];
  if (self.kind() != other.kind()) return truth(false);
  if (self.is_integral()) return truth(self.as_int() == other.as_int());
  return truth(self.object() == other.object() &&
               (!self.is(Kind::kFloat) || self.as_float() == other.as_float()));
}

Value test_filter_exists(Interpreter&, const Value& self, Arguments&) {
  return truth(self.is(Kind::kString) && find_filter(self.text()));
}

Value test_test_exists(Interpreter&, const Value& self, Arguments&) {
  return truth(self.is(Kind::kString) && find_test(self.text()));
}

Value raise_exception(Interpreter& interpreter, const Value&, Arguments& arguments) {
  const Parameters p("raise_exception", arguments, {"message"}, 1);
  raise("{}", to_str(p[0], interpreter.budget()));
}

Value strftime_now(Interpreter& interpreter, const Value&, Arguments& arguments) {
  const Parameters p("strftime_now", arguments, {"format"}, 1);
  return interpreter.budget().string(format_time(p.text(0), interpreter.now_unix_s()));
}

Value range(Interpreter& interpreter, const Value&, Arguments& arguments) {
  const Parameters p("range", arguments, {"start", "stop", "step"}, 1);
  const int64_t start = p.has(1) ? p.integer(0, 0) : 0;
  const int64_t stop = p.has(1) ? p.integer(1, 0) : p.integer(0, 0);
  const int64_t step = p.integer(2, 1);
  if (step == 0) raise("range's step is 0");
  // In 128 bits, so that no bound overflows.
  const __int128 span =
      step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? step : -static_cast<__int128>(step);
  const __int128 count = span > 0 ? (span - 1) / stride + 1 : 0;
  if (count > kMostRangeItems) raise("a range of more than {} items", kMostRangeItems);
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) items.push_back(Value::integer(start + i * step));
  interpreter.budget().step(items.size() / 4);
  return interpreter.budget().sequence(std::move(items), SequenceKind::kRange);
}

// What dict(...) and namespace(...) hold: an optional mapping or pairs, then keyword arguments.
Dict mapping_of(Interpreter& interpreter, std::string_view what, Arguments& arguments) {
  Budget& budget = interpreter.budget();
  if (arguments.positional.size() > 1) raise("{} takes at most 1 argument", what);
  Dict dict;
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (from.is(Kind::kDict)) {
      dict = from.dict();
      budget.work(dict.entries.size() * sizeof(Dict::Entry));
    } else {
      for (const Value& pair : iterate(from, budget)) {
        const auto both = iterate(pair, budget);
        if (both.size() != 2) raise("{} needs pairs of a key and a value", what);
        dict.set(both[0], both[1], budget);
      }
    }
  }
  for (auto& [name, value] : arguments.keyword) dict.set(name, std::move(value));
  budget.check_depth(dict.depth);
  return dict;
}

Value dict(Interpreter& interpreter, const Value&, Arguments& arguments) {
  return interpreter.budget().dict(mapping_of(interpreter, "dict", arguments));
}

Value name_space(Interpreter& interpreter, const Value&, Arguments& arguments) {
  return interpreter.make_namespace(mapping_of(interpreter, "namespace", arguments));
}

// What a joiner gives: nothing the first time, its separator after that.
Value joiner_next(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("a joiner", arguments, {});
  const Callable& state = self.callable();
  return state.position++ == 0 ? Value::string({}) : state.receiver;
}

Value cycler_next(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("next", arguments, {});
  const Callable& state = self.callable();
  const auto& items = state.receiver.items();
  return items[state.position++ % items.size()];
}

Value cycler_reset(Interpreter&, const Value& self, Arguments&) {
  self.callable().position = 0;
  return Value::none();
}

Value not_called(Interpreter&, const Value&, Arguments&) {
  raise("a cycler is not called: use its next()");
}

Value stateful(Interpreter& interpreter, std::string name, Function function, Value receiver) {
  auto callable = std::make_shared<Callable>();
  callable->depth = receiver.depth() + 1;
  interpreter.budget().check_depth(callable->depth);
  interpreter.budget().work(2 * sizeof(Callable));
  callable->name = std::move(name);
  callable->function = function;
  callable->receiver = std::move(receiver);
  return Value(Kind::kCallable, std::move(callable));
}

Value joiner(Interpreter& interpreter, const Value&, Arguments& arguments) {
  const Parameters p("joiner", arguments, {"sep"});
  Value separator = p.has(0) ? p[0] : Value::string(", ");
  // The state is an object of its own, which the callable's receiver shares.
  return stateful(interpreter, "joiner", joiner_next,
                  stateful(interpreter, "joiner", nullptr, std::move(separator)));
}

Value cycler(Interpreter& interpreter, const Value&, Arguments& arguments) {
  if (!arguments.keyword.empty() || arguments.positional.empty())
    raise("cycler needs the items to go round");
  return stateful(interpreter, "cycler", not_called,
                  interpreter.budget().sequence(std::move(arguments.positional)));
}

Value loop_cycle(Interpreter&, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) raise("loop.cycle needs the items to go round");
  return arguments.positional[self.loop().index % arguments.positional.size()];
}

Value loop_changed(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  Loop& loop = self.loop();
  if (loop.finished) raise("loop.changed is called after its loop");
  Budget& budget = interpreter.budget();
  const auto& now = arguments.positional;
  const bool same =
      loop.has_changed &&
      std::equal(now.begin(), now.end(), loop.last_changed.begin(), loop.last_changed.end(),
                 [&](const Value& a, const Value& b) { return equals(a, b, budget); });
  loop.has_changed = true;
  loop.last_changed = now;
  return truth(!same);
}

constexpr Builtin kLoopMethods[] = {{"cycle", loop_cycle}, {"changed", loop_changed}};
constexpr Builtin kCyclerMethods[] = {{"next", cycler_next}, {"reset", cycler_reset}};

constexpr Builtin kFunctions[] = {
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
    {"range", range},
    {"dict", dict},
    {"namespace", name_space},
    {"joiner", joiner},
    {"cycler", cycler},
};

constexpr Function kEqual = test_compare<Operator::kEqual>;
constexpr Function kNotEqual = test_compare<Operator::kNotEqual>;
constexpr Function kLess = test_compare<Operator::kLess>;
constexpr Function kLessEqual = test_compare<Operator::kLessEqual>;
constexpr Function kGreater = test_compare<Operator::kGreater>;
constexpr Function kGreaterEqual = test_compare<Operator::kGreaterEqual>;

constexpr Builtin kTests[] = {
    {"defined", test_if<is_defined>},
    {"undefined", test_if<is_undefined>},
    {"none", test_if<is_none>},
    {"boolean", test_if<is_boolean>},
    {"true", test_if<is_true>},
    {"false", test_if<is_false>},
    {"integer", test_if<is_integer>},
    {"float", test_if<is_float>},
    {"number", test_if<is_number>},
    {"string", test_if<is_string>},
    {"mapping", test_if<is_mapping>},
    {"iterable", test_if<is_iterable>},
    {"sequence", test_if<is_sequence>},
    {"callable", test_if<is_callable>},
    {"escaped", test_if<never>},
    {"odd", test_parity<1>},
    {"even", test_parity<0>},
    {"divisibleby", test_divisible},
    {"upper", test_case<CharClass::kUpper, CharClass::kLower>},
    {"lower", test_case<CharClass::kLower, CharClass::kUpper>},
    {"sameas", test_sameas},
    {"filter", test_filter_exists},
    {"test", test_test_exists},
    {"in", test_compare<Operator::kIn>},
    {"eq", kEqual},
    {"==", kEqual},
    {"equalto", kEqual},
    {"ne", kNotEqual},
    {"!=", kNotEqual},
    {"lt", kLess},
    {"<", kLess},
    {"lessthan", kLess},
    {"le", kLessEqual},
    {"<=", kLessEqual},
    {"gt", kGreater},
    {">", kGreater},
    {"greaterthan", kGreater},
    {"ge", kGreaterEqual},
    {">=", kGreaterEqual},
};

}  // namespace

std::span<const Builtin> tests() { return kTests; }
std::span<const Builtin> global_functions() { return kFunctions; }

Function find_method(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::kString:
      if (const Function found = find_in(string_methods(), name)) return found;
      return find_in(split_methods(), name);
    case Kind::kDict:
      return find_in(dict_methods(), name);
    case Kind::kSequence:
      return object.is_tuple() || object.is_sequence(SequenceKind::kList) ||
                     object.is_sequence(SequenceKind::kRange)
                 ? find_in(list_methods(), name)
                 : nullptr;
    case Kind::kLoop:
      return find_in(kLoopMethods, name);
    case Kind::kCallable:
      return object.callable().function == not_called ? find_in(kCyclerMethods, name) : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace dspark::tokenizer::jinja

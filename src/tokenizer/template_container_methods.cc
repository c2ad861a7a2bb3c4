// The methods of dictionaries and lists that do not change their object.
#include <algorithm>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"

namespace dspark::tokenizer::jinja {

namespace {

Value dict_get(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("get", arguments, {"key", "default"}, 1);
  const Value* found = self.dict().find(p[0], interpreter.budget());
  return found ? *found : p.has(1) ? p[1] : Value::none();
}

template <int part>  // 0: keys, 1: values, 2: both
Value dict_view(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("the method", arguments, {});
  Budget& budget = interpreter.budget();
  std::vector<Value> items;
  items.reserve(self.dict().entries.size());
  for (const auto& [key, value, hash] : self.dict().entries)
    items.push_back(part == 0   ? key
                    : part == 1 ? value
                                : budget.sequence({key, value}, SequenceKind::kTuple));
  return budget.sequence(std::move(items), SequenceKind::kView);
}

Value same(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("copy", arguments, {});
  return self;
}

Value list_index(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("index", arguments, {"value"}, 1);
  for (size_t i = 0; i < self.items().size(); ++i)
    if (equals(self.items()[i], p[0], interpreter.budget()))
      return Value::integer(static_cast<int64_t>(i));
  raise("index: the value is not in the list");
}

Value list_count(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("count", arguments, {"value"}, 1);
  return Value::integer(
      std::count_if(self.items().begin(), self.items().end(),
                    [&](const Value& item) { return equals(item, p[0], interpreter.budget()); }));
}

constexpr Builtin kDictMethods[] = {
    {"get", dict_get},       {"keys", dict_view<0>}, {"values", dict_view<1>},
    {"items", dict_view<2>}, {"copy", same},
};

constexpr Builtin kListMethods[] = {{"index", list_index}, {"count", list_count}, {"copy", same}};

}  // namespace

std::span<const Builtin> dict_methods() { return kDictMethods; }
std::span<const Builtin> list_methods() { return kListMethods; }

}  // namespace dspark::tokenizer::jinja

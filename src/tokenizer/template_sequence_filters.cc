// Filters on what can be looped over.
#include <algorithm>
#include <charconv>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;

Value generator(std::vector<Value> items, Budget& budget) {
  return budget.sequence(std::move(items), SequenceKind::kGenerator);
}

// item.a.b.0 of the path "a.b.0"; the item itself for no path.
Value follow(Value item, const Value& path, Budget& budget) {
  if (path.is(Kind::kNone) || path.is(Kind::kUndefined)) return item;
  if (!path.is(Kind::kString)) return get_item(item, path, budget);
  std::string_view rest = path.text();
  for (bool more = true; more;) {
    budget.step();
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    int64_t index = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index = !part.empty() && part[0] != '-' && read.ec == std::errc{} &&
                          read.ptr == part.data() + part.size();
    item =
        get_item(item, is_index ? Value::integer(index) : Value::string(std::string(part)), budget);
    more = dot != rest.npos;
    if (more) rest.remove_prefix(dot + 1);
  }
  return item;
}

Value without_case(Value value, bool case_sensitive, Budget& budget) {
  if (case_sensitive || !value.is(Kind::kString)) return value;
  budget.work(value.text().size() * 4);
  return budget.string(to_lower(value.text()));
}

struct Keyed {
  std::vector<Value> keys;
  Value item;
};

bool less_keys(const Keyed& a, const Keyed& b, Budget& budget) {
  for (size_t i = 0; i < a.keys.size(); ++i)
    if (!equals(a.keys[i], b.keys[i], budget)) return less(a.keys[i], b.keys[i], budget);
  return false;
}

template <class Values>
std::vector<Keyed> sorted(const Values& items, const std::vector<Value>& paths, bool case_sensitive,
                          bool reverse, Budget& budget) {
  std::vector<Keyed> keyed;
  budget.work(items.size() * (sizeof(Keyed) + paths.size() * sizeof(Value)));
  for (const Value& item : items) {
    keyed.push_back({{}, item});
    for (const Value& path : paths)
      keyed.back().keys.push_back(without_case(follow(item, path, budget), case_sensitive, budget));
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less_keys(b, a, budget) : less_keys(a, b, budget);
  });
  return keyed;
}

Value sort(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  Budget& budget = interpreter.budget();
  std::vector<Value> paths;
  if (p.has(2) && p[2].is(Kind::kString)) {
    std::string_view rest = p[2].text();
    for (size_t comma = 0; comma != rest.npos; rest.remove_prefix(comma + 1)) {
      comma = rest.find(',');
      paths.push_back(Value::string(std::string(rest.substr(0, comma))));
      if (comma == rest.npos) break;
    }
  } else {
    paths.push_back(p.has(2) ? p[2] : Value::none());
  }
  std::vector<Value> items;
  for (Keyed& entry :
       sorted(iterate(self, budget), paths, p.flag(1, false), p.flag(0, false), budget))
    items.push_back(std::move(entry.item));
  return budget.sequence(std::move(items));
}

Value dictsort(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (!self.is(Kind::kDict)) raise("dictsort needs a dictionary, not '{}'", self.type_name());
  const std::string by = p.text(1, "key");
  if (by != "key" && by != "value") raise("dictsort sorts by key or value, not '{}'", by);
  Budget& budget = interpreter.budget();
  std::vector<Value> pairs;
  for (const auto& [key, value, hash] : self.dict().entries)
    pairs.push_back(budget.sequence({key, value}, SequenceKind::kTuple));
  std::vector<Value> items;
  for (Keyed& entry : sorted(pairs, std::vector{Value::integer(by == "key" ? 0 : 1)},
                             p.flag(0, false), p.flag(2, false), budget))
    items.push_back(std::move(entry.item));
  return budget.sequence(std::move(items));
}

Value groupby(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  Budget& budget = interpreter.budget();
  const bool case_sensitive = p.flag(2, false);
  const auto key_of = [&](const Value& item) {
    Value key = follow(item, p[0], budget);
    return key.is(Kind::kUndefined) && p.has(1) ? p[1] : key;
  };
  std::vector<Value> tagged;  // (key, item), sorted by the key
  for (const Value& item : iterate(self, budget))
    tagged.push_back(budget.sequence({key_of(item), item}, SequenceKind::kTuple));
  std::vector<Value> groups, members;
  Value key, shown;
  const auto close = [&] {
    if (!members.empty())
      groups.push_back(budget.sequence({shown, budget.sequence(std::exchange(members, {}))},
                                       SequenceKind::kGroup));
  };
  for (const Keyed& entry :
       sorted(tagged, std::vector{Value::integer(0)}, case_sensitive, false, budget)) {
    if (members.empty() || !equals(entry.keys[0], key, budget)) {
      close();
      key = entry.keys[0];
      shown = entry.item.items()[0];
    }
    members.push_back(entry.item.items()[1]);
  }
  close();
  return budget.sequence(std::move(groups));
}

Value unique(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("unique", arguments, {"case_sensitive", "attribute"});
  Budget& budget = interpreter.budget();
  Dict seen;
  std::vector<Value> items;
  for (const Value& item : iterate(self, budget)) {
    Value key = without_case(follow(item, p.has(1) ? p[1] : Value::none(), budget),
                             p.flag(0, false), budget);
    if (seen.find(key, budget)) continue;
    seen.set(std::move(key), Value::none(), budget);
    items.push_back(item);
  }
  return generator(std::move(items), budget);
}

template <bool largest>
Value extreme(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("min and max", arguments, {"case_sensitive", "attribute"});
  Budget& budget = interpreter.budget();
  const auto items = iterate(self, budget);
  if (items.empty()) return Value::undefined("min and max of nothing are undefined");
  const auto key_of = [&](const Value& item) {
    return without_case(follow(item, p.has(1) ? p[1] : Value::none(), budget), p.flag(0, false),
                        budget);
  };
  Value best = items[0], best_key = key_of(best);
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = key_of(items[i]);
    if (!(largest ? less(best_key, key, budget) : less(key, best_key, budget))) continue;
    best = items[i];
    best_key = std::move(key);
  }
  return best;
}

Value sum(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("sum", arguments, {"attribute", "start"});
  Budget& budget = interpreter.budget();
  Value total = p.has(1) ? p[1] : Value::integer(0);
  if (total.is(Kind::kString)) raise("sum adds no strings; use join");
  for (const Value& item : iterate(self, budget)) {
    budget.step();
    total = arithmetic(Operator::kAdd, total, follow(item, p.has(0) ? p[0] : Value::none(), budget),
                       budget);
  }
  return total;
}

Value first(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("first", arguments, {});
  Budget& budget = interpreter.budget();
  if (self.is(Kind::kString)) return get_item(self, Value::integer(0), budget);
  const auto items = iterate(self, budget);
  return items.empty() ? Value::undefined("there is no first item") : items[0];
}

Value last(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("last", arguments, {});
  Budget& budget = interpreter.budget();
  if (self.is(Kind::kString)) return get_item(self, Value::integer(-1), budget);
  if (self.is_sequence(SequenceKind::kGenerator))
    raise("a generator has no last item; make it a list first");
  const auto items = iterate(self, budget);
  return items.empty() ? Value::undefined("there is no last item") : items.back();
}

Value list(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("list", arguments, {});
  Budget& budget = interpreter.budget();
  const Items items = iterate(self, budget);
  return budget.sequence({items.begin(), items.end()});
}

Value join(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("join", arguments, {"d", "attribute"});
  Budget& budget = interpreter.budget();
  const Value separator = p.has(0) ? Value::string(to_str(p[0], budget)) : Value::string({});
  std::string out;
  bool is_first = true;
  for (const Value& item : iterate(self, budget)) {
    budget.step();
    if (!std::exchange(is_first, false)) append_str(out, separator, budget);
    append_str(out, follow(item, p.has(1) ? p[1] : Value::none(), budget), budget);
  }
  return budget.string(std::move(out));
}

Value reverse(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("reverse", arguments, {});
  Budget& budget = interpreter.budget();
  if (self.is(Kind::kString))
    return slice(self, Value::none(), Value::none(), Value::integer(-1), budget);
  const bool was_generator = self.is_sequence(SequenceKind::kGenerator);
  const Items all = iterate(self, budget);
  std::vector<Value> items(all.begin(), all.end());
  std::reverse(items.begin(), items.end());
  return budget.sequence(std::move(items),
                         was_generator ? SequenceKind::kList : SequenceKind::kGenerator);
}

Value items(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("items", arguments, {});
  Budget& budget = interpreter.budget();
  if (!self.is(Kind::kUndefined) && !self.is(Kind::kDict))
    raise("items needs a dictionary, not '{}'", self.type_name());
  std::vector<Value> pairs;
  if (self.is(Kind::kDict))
    for (const auto& [key, value, hash] : self.dict().entries)
      pairs.push_back(budget.sequence({key, value}, SequenceKind::kTuple));
  return generator(std::move(pairs), budget);
}

Value batch(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("batch", arguments, {"linecount", "fill_with"}, 1);
  Budget& budget = interpreter.budget();
  const int64_t size = p.integer(0, 0);
  if (size < 1) raise("batch needs a size of at least 1");
  std::vector<Value> batches, row;
  const auto all = iterate(self, budget);
  for (const Value& item : all) {
    if (static_cast<int64_t>(row.size()) == size)
      batches.push_back(budget.sequence(std::exchange(row, {})));
    row.push_back(item);
  }
  if (!row.empty()) {
    if (p.has(1) && !p[1].is(Kind::kNone)) {
      budget.expect_items(static_cast<size_t>(size));
      row.resize(static_cast<size_t>(size), p[1]);
    }
    batches.push_back(budget.sequence(std::move(row)));
  }
  return generator(std::move(batches), budget);
}

Value into_slices(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  const Parameters p("slice", arguments, {"slices", "fill_with"}, 1);
  Budget& budget = interpreter.budget();
  const int64_t count = p.integer(0, 0);
  if (count < 1) raise("slice needs at least 1 slice");
  budget.expect_items(static_cast<size_t>(count));
  const auto all = iterate(self, budget);
  const auto slices_wanted = static_cast<size_t>(count);
  const size_t each = all.size() / slices_wanted, extra = all.size() % slices_wanted;
  std::vector<Value> slices;
  auto from = all.begin();
  for (size_t i = 0; i < slices_wanted; ++i) {
    const auto to = from + static_cast<ptrdiff_t>(each + (i < extra ? 1 : 0));
    std::vector<Value> part(from, to);
    from = to;
    if (p.has(1) && !p[1].is(Kind::kNone) && i >= extra) part.push_back(p[1]);
    slices.push_back(budget.sequence(std::move(part)));
  }
  return generator(std::move(slices), budget);
}

// Takes the first positional argument away.
Value take_front(Arguments& arguments, std::string_view what) {
  if (arguments.positional.empty()) raise("{} is missing an argument", what);
  Value value = std::move(arguments.positional.front());
  arguments.positional.erase(arguments.positional.begin());
  return value;
}

Function named(const Value& name, Function (*find)(std::string_view), std::string_view kind) {
  if (!name.is(Kind::kString)) raise("expected the name of a {}, not '{}'", kind, name.type_name());
  const Function function = find(name.text());
  if (!function) raise("there is no {} '{}'", kind, name.text());
  return function;
}

Value map(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  Budget& budget = interpreter.budget();
  std::vector<Value> results;
  if (arguments.positional.empty()) {
    const Parameters p("map", arguments, {"attribute", "default"}, 1);
    for (const Value& item : iterate(self, budget)) {
      budget.step();
      Value value = follow(item, p[0], budget);
      const bool absent = value.is(Kind::kUndefined) && p.has(1) && !p[1].is(Kind::kNone);
      results.push_back(absent ? p[1] : std::move(value));
    }
    return generator(std::move(results), budget);
  }
  const Function filter = named(take_front(arguments, "map"), find_filter, "filter");
  for (const Value& item : iterate(self, budget)) {
    budget.step();
    Arguments again = arguments;
    results.push_back(filter(interpreter, item, again));
  }
  return generator(std::move(results), budget);
}

template <bool by_attribute, bool wanted>
Value select(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  Budget& budget = interpreter.budget();
  const Value path = by_attribute ? take_front(arguments, "selectattr") : Value::none();
  Function test = nullptr;
  if (!arguments.positional.empty())
    test = named(take_front(arguments, "select"), find_test, "test");
  std::vector<Value> kept;
  for (const Value& item : iterate(self, budget)) {
    budget.step();
    Arguments again = arguments;
    const Value value = follow(item, path, budget);
    const bool holds = test ? test(interpreter, value, again).truthy() : value.truthy();
    if (holds == wanted) kept.push_back(item);
  }
  return generator(std::move(kept), budget);
}

constexpr Builtin kFilters[] = {
    {"first", first},
    {"last", last},
    {"list", list},
    {"join", join},
    {"reverse", reverse},
    {"sort", sort},
    {"dictsort", dictsort},
    {"groupby", groupby},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"sum", sum},
    {"items", items},
    {"batch", batch},
    {"slice", into_slices},
    {"map", map},
    {"select", select<false, true>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<true, false>},
};

}  // namespace

std::span<const Builtin> sequence_filters() { return kFilters; }

}  // namespace dspark::tokenizer::jinja

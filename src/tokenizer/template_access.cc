// Attributes, elements and slices.
#include <algorithm>
#include <optional>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

using Kind = Value::Kind;

Value loop_field(const Value& value, std::string_view name) {
  const Loop& loop = value.loop();
  const auto length = static_cast<int64_t>(loop.sequence->items.size());
  const auto index = static_cast<int64_t>(loop.index);
  const auto item = [&](int64_t at, const char* why) {
    return at >= 0 && at < length ? loop.sequence->items[static_cast<size_t>(at)]
                                  : Value::undefined(why);
  };
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == length);
  if (name == "length") return Value::integer(length);
  if (name == "revindex") return Value::integer(length - index);
  if (name == "revindex0") return Value::integer(length - index - 1);
  if (name == "previtem") return item(index - 1, "the first item has no previous item");
  if (name == "nextitem") return item(index + 1, "the last item has no next item");
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  return Value::undefined(fmt::format("loop has no attribute '{}'", name));
}

Value field(const Value& object, std::string_view name) {
  const Value* found = nullptr;
  switch (object.kind()) {
    case Kind::kDict:
      found = object.dict().find(name);
      break;
    case Kind::kNamespace:
      found = object.name_space().attributes.find(name);
      break;
    case Kind::kLoop:
      return loop_field(object, name);
    case Kind::kSequence:
      if (!object.is_sequence(SequenceKind::kGroup)) break;
      if (name == "grouper") found = &object.items()[0];
      if (name == "list") found = &object.items()[1];
      break;
    case Kind::kCallable:
      if (object.callable().macro && name == "name") return Value::string(object.callable().name);
      break;
    default:
      break;
  }
  if (found) return *found;
  if (is_mutating_method(object, name))
    return Value::undefined(fmt::format("'{}' would change the {}, which a template may not do",
                                        name, object.type_name()));
  return Value::undefined(fmt::format("'{}' has no attribute '{}'", object.type_name(), name));
}

}  // namespace

Value get_attribute(const Value& object, std::string_view name, Budget& budget) {
  if (object.is(Kind::kUndefined))
    raise("{}, so it has no attribute '{}'", object.undefined_reason(), name);
  const Function function = find_method(object, name);
  if (!function) return field(object, name);
  auto method = std::make_shared<Callable>();
  method->name = name;
  method->function = function;
  method->depth = object.depth() + 1;
  budget.check_depth(method->depth);
  method->receiver = object;
  budget.work(sizeof(Callable));
  return Value(Kind::kCallable, std::move(method));
}

Value get_item(const Value& object, const Value& key, Budget& budget) {
  const auto missing = [&] {
    std::string text = "...";
    if (key.is_number() || key.is(Kind::kString)) {
      text.clear();
      append_repr(text, key, budget);
    }
    return Value::undefined(fmt::format("'{}' has no element {}", object.type_name(), text));
  };
  if (object.is(Kind::kUndefined)) raise("{}, so it has no elements", object.undefined_reason());
  if (object.is(Kind::kDict)) {
    const bool hashable = !key.is(Kind::kDict) && (!key.is(Kind::kSequence) || key.is_tuple());
    if (const Value* found = hashable ? object.dict().find(key, budget) : nullptr) return *found;
  } else if (key.is_integral() && (object.is(Kind::kString) || object.is(Kind::kSequence))) {
    const bool is_string = object.is(Kind::kString);
    if (!is_string &&
        (object.is_sequence(SequenceKind::kView) || object.is_sequence(SequenceKind::kGenerator)))
      return missing();
    const auto length =
        static_cast<int64_t>(is_string ? object.char_count() : object.items().size());
    const int64_t index = key.as_int() < 0 ? key.as_int() + length : key.as_int();
    if (index < 0 || index >= length) return missing();
    if (!is_string) return object.items()[static_cast<size_t>(index)];
    const std::string& text = object.text();
    if (object.char_count() == text.size())
      return budget.string(std::string(1, text[static_cast<size_t>(index)]));
    budget.work(text.size());
    const size_t begin = byte_offset(text, static_cast<size_t>(index));
    const size_t bytes = byte_offset(std::string_view(text).substr(begin), 1);
    return budget.string(text.substr(begin, bytes));
  }
  if (!key.is(Kind::kString)) return missing();
  if (!object.is(Kind::kDict)) return get_attribute(object, key.text(), budget);
  return find_method(object, key.text()) ? get_attribute(object, key.text(), budget) : missing();
}

namespace {

// Python's slice(start, stop, step).indices(length).
struct Indices {
  int64_t start, step;
  size_t count;
};

std::optional<int64_t> bound(const Value& value) {
  if (value.is(Kind::kNone)) return std::nullopt;
  if (value.is(Kind::kUndefined)) raise("{}", value.undefined_reason());
  if (!value.is_integral()) raise("a slice needs integers, not '{}'", value.type_name());
  return value.as_int();
}

Indices slice_indices(const Value& start, const Value& stop, const Value& step, int64_t length) {
  const int64_t by = std::max(bound(step).value_or(1), -INT64_MAX);
  if (by == 0) raise("a slice's step is 0");
  const int64_t lowest = by < 0 ? -1 : 0, highest = by < 0 ? length - 1 : length;
  const auto clamp = [&](std::optional<int64_t> at, int64_t otherwise) {
    if (!at) return otherwise;
    if (*at < 0) return std::max(*at + length, lowest);
    return std::min(*at, highest);
  };
  const int64_t from = clamp(bound(start), by < 0 ? highest : lowest);
  const int64_t to = clamp(bound(stop), by < 0 ? lowest : highest);
  const int64_t span = by < 0 ? from - to : to - from;
  const int64_t stride = by < 0 ? -by : by;
  return {from, by, span > 0 ? static_cast<size_t>((span - 1) / stride + 1) : 0};
}

Value slice_text(const Value& object, const Indices& at, Budget& budget) {
  const std::string& text = object.text();
  budget.work(text.size());
  if (at.count == 0) return budget.string({});
  const bool ascii = object.char_count() == text.size();
  if (at.step == 1) {
    const auto first = static_cast<size_t>(at.start);
    if (ascii) return budget.string(text.substr(first, at.count));
    const size_t begin = byte_offset(text, first);
    const size_t bytes = byte_offset(std::string_view(text).substr(begin), at.count);
    return budget.string(text.substr(begin, bytes));
  }
  std::vector<std::string_view> chars;
  if (!ascii) {
    budget.work(object.char_count() * sizeof(std::string_view));
    for (CharReader reader(text); !reader.done();) chars.push_back(reader.next());
  }
  std::string out;
  for (size_t i = 0; i < at.count; ++i) {
    const auto index = static_cast<size_t>(at.start + static_cast<int64_t>(i) * at.step);
    if (ascii)
      out += text[index];
    else
      out += chars[index];
  }
  return budget.string(std::move(out));
}

}  // namespace

Value slice(const Value& object, const Value& start, const Value& stop, const Value& step,
            Budget& budget) {
  if (object.is(Kind::kUndefined)) raise("{}, so it has no elements", object.undefined_reason());
  if (object.is(Kind::kString))
    return slice_text(object,
                      slice_indices(start, stop, step, static_cast<int64_t>(object.char_count())),
                      budget);
  if (!object.is(Kind::kSequence) || object.is_sequence(SequenceKind::kView) ||
      object.is_sequence(SequenceKind::kGenerator))
    return Value::undefined(fmt::format("'{}' can't be sliced", object.type_name()));
  const auto& from = object.items();
  const Indices at = slice_indices(start, stop, step, static_cast<int64_t>(from.size()));
  std::vector<Value> items;
  items.reserve(at.count);
  for (size_t i = 0; i < at.count; ++i)
    items.push_back(from[static_cast<size_t>(at.start + static_cast<int64_t>(i) * at.step)]);
  const SequenceKind kind = object.sequence().kind;
  return budget.sequence(std::move(items),
                         kind == SequenceKind::kGroup ? SequenceKind::kTuple : kind);
}

}  // namespace dspark::tokenizer::jinja

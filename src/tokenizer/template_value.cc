#include "tokenizer/template_value.h"

#include <algorithm>
#include <bit>

#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

constexpr size_t kLinearSearchEntries = 8;
constexpr size_t kStringOverheadBytes = 96;

Value from_json_at(const nlohmann::ordered_json& json, const Limits& limits, Budget& budget,
                   uint32_t depth) {
  if (depth > limits.container_depth)
    raise("the context is nested more than {} deep", limits.container_depth);
  switch (json.type()) {
    case nlohmann::json::value_t::null:
      return Value::none();
    case nlohmann::json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case nlohmann::json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case nlohmann::json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
        raise("the context holds {}, beyond a signed 64-bit integer", json.get<uint64_t>());
      return Value::integer(json.get<int64_t>());
    case nlohmann::json::value_t::number_float:
      return Value::real(json.get<double>());
    case nlohmann::json::value_t::string:
      return Value::string(json.get_ref<const std::string&>());
    case nlohmann::json::value_t::array: {
      auto list = std::make_shared<Sequence>();
      list->items.reserve(json.size());
      for (const auto& item : json) {
        list->items.push_back(from_json_at(item, limits, budget, depth + 1));
        list->depth = std::max(list->depth, list->items.back().depth() + 1);
      }
      return Value(Value::Kind::kSequence, std::move(list));
    }
    case nlohmann::json::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, item] : json.items())
        dict->set(key, from_json_at(item, limits, budget, depth + 1));
      return Value(Value::Kind::kDict, std::move(dict));
    }
    default:
      raise("the context holds a value that is not JSON");
  }
}

}  // namespace

Value Value::undefined(std::string why) {
  auto data = std::make_shared<String>();
  data->text = std::move(why);
  return Value(Kind::kUndefined, std::move(data));
}

Value Value::none() { return Value(Kind::kNone, nullptr); }

Value Value::boolean(bool value) {
  Value result(Kind::kBool, nullptr);
  result.integer_ = value;
  return result;
}

Value Value::integer(int64_t value) {
  Value result(Kind::kInt, nullptr);
  result.integer_ = value;
  return result;
}

Value Value::real(double value) {
  Value result(Kind::kFloat, nullptr);
  result.real_ = value;
  return result;
}

Value Value::string(std::string text) {
  auto data = std::make_shared<String>();
  data->chars = count_chars(text);
  data->text = std::move(text);
  return Value(Kind::kString, std::move(data));
}

bool Value::is_sequence(SequenceKind kind) const {
  return kind_ == Kind::kSequence && sequence().kind == kind;
}

bool Value::is_tuple() const {
  return is_sequence(SequenceKind::kTuple) || is_sequence(SequenceKind::kGroup);
}

const std::string& Value::text() const { return static_cast<const String*>(object_.get())->text; }
size_t Value::char_count() const { return static_cast<const String*>(object_.get())->chars; }
const Sequence& Value::sequence() const { return *static_cast<const Sequence*>(object_.get()); }
const std::vector<Value>& Value::items() const { return sequence().items; }
const Dict& Value::dict() const { return *static_cast<const Dict*>(object_.get()); }
const Callable& Value::callable() const { return *static_cast<const Callable*>(object_.get()); }

Namespace& Value::name_space() const {
  return *const_cast<Namespace*>(static_cast<const Namespace*>(object_.get()));
}

Loop& Value::loop() const { return *const_cast<Loop*>(static_cast<const Loop*>(object_.get())); }

const std::string& Value::undefined_reason() const {
  static const std::string kNoReason = "the value is undefined";
  return object_ ? static_cast<const String*>(object_.get())->text : kNoReason;
}

bool Value::truthy() const {
  switch (kind_) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return integer_ != 0;
    case Kind::kFloat:
      return real_ != 0;
    case Kind::kString:
      return !text().empty();
    case Kind::kSequence:
      return sequence().kind == SequenceKind::kGenerator || !items().empty();
    case Kind::kDict:
      return !dict().entries.empty();
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kCallable:
      return true;
  }
  return false;
}

std::string_view Value::type_name() const {
  switch (kind_) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kSequence:
      switch (sequence().kind) {
        case SequenceKind::kList:
          return "list";
        case SequenceKind::kTuple:
        case SequenceKind::kGroup:
          return "tuple";
        case SequenceKind::kRange:
          return "range";
        case SequenceKind::kView:
          return "dict view";
        case SequenceKind::kGenerator:
          return "generator";
      }
      return "list";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCallable:
      return callable().macro ? "Macro" : "function";
  }
  return "";
}

void Budget::work(size_t bytes) {
  work_bytes_ += bytes;
  if (work_bytes_ > limits_.work_bytes)
    raise("the template handled more than {} bytes of text and lists", limits_.work_bytes);
}

void Budget::expect_string(size_t bytes) const {
  if (bytes > limits_.string_bytes)
    raise("a string of more than {} bytes would be made", limits_.string_bytes);
}

void Budget::expect_items(size_t count) const {
  if (count > limits_.list_items)
    raise("a list of more than {} items would be made", limits_.list_items);
}

Value Budget::string(std::string text) {
  expect_string(text.size());
  work(text.size() + kStringOverheadBytes);
  return Value::string(std::move(text));
}

Value Budget::sequence(std::vector<Value> items, SequenceKind kind) {
  expect_items(items.size());
  work(items.size() * sizeof(Value) + kStringOverheadBytes);
  auto data = std::make_shared<Sequence>();
  for (const Value& item : items) data->depth = std::max(data->depth, item.depth() + 1);
  check_depth(data->depth);
  data->kind = kind;
  data->items = std::move(items);
  return Value(Value::Kind::kSequence, std::move(data));
}

Value Budget::dict(Dict dict) {
  expect_items(dict.entries.size());
  work(dict.entries.size() * sizeof(Dict::Entry) + kStringOverheadBytes);
  check_depth(dict.depth);
  return Value(Value::Kind::kDict, std::make_shared<Dict>(std::move(dict)));
}

void Budget::check_depth(uint32_t depth) const {
  if (depth > limits_.container_depth)
    raise("lists or dictionaries are nested more than {} deep", limits_.container_depth);
}

template <class Same>
size_t Dict::position(size_t hash, Same same) const {
  if (slots_.empty()) {
    for (size_t i = 0; i < entries.size(); ++i)
      if (entries[i].hash == hash && same(entries[i].key)) return i;
    return entries.size();
  }
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const Entry& entry = entries[slots_[slot] - 1];
    if (entry.hash == hash && same(entry.key)) return slots_[slot] - 1;
  }
  return entries.size();
}

void Dict::append(Value key, Value value, size_t hash) {
  depth = std::max({depth, key.depth() + 1, value.depth() + 1});
  entries.push_back({std::move(key), std::move(value), hash});
  if (entries.size() <= kLinearSearchEntries) return;
  const auto insert = [this](size_t i) {
    const size_t mask = slots_.size() - 1;
    size_t slot = entries[i].hash & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<uint32_t>(i + 1);
  };
  if (slots_.size() >= 2 * entries.size()) return insert(entries.size() - 1);
  slots_.assign(std::bit_ceil(4 * entries.size()), 0);
  for (size_t i = 0; i < entries.size(); ++i) insert(i);
}

const Value* Dict::find(const Value& key, Budget& budget) const {
  const size_t i =
      position(hash_of(key, budget), [&](const Value& k) { return equals(k, key, budget); });
  return i < entries.size() ? &entries[i].value : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  const size_t i = position(
      hash_of(key), [&](const Value& k) { return k.is(Value::Kind::kString) && k.text() == key; });
  return i < entries.size() ? &entries[i].value : nullptr;
}

void Dict::set(Value key, Value value, Budget& budget) {
  const size_t hash = hash_of(key, budget);
  const size_t i = position(hash, [&](const Value& k) { return equals(k, key, budget); });
  if (i == entries.size()) return append(std::move(key), std::move(value), hash);
  depth = std::max(depth, value.depth() + 1);
  entries[i].value = std::move(value);
}

void Dict::set(std::string_view key, Value value) {
  const size_t hash = hash_of(key);
  const size_t i =
      position(hash, [&](const Value& k) { return k.is(Value::Kind::kString) && k.text() == key; });
  if (i == entries.size()) return append(Value::string(std::string(key)), std::move(value), hash);
  depth = std::max(depth, value.depth() + 1);
  entries[i].value = std::move(value);
}

Value from_json(const nlohmann::ordered_json& json, const Limits& limits) {
  Budget unused(limits);
  return from_json_at(json, limits, unused, 0);
}

}  // namespace dspark::tokenizer::jinja

// Equality, order, hashing and iteration of values.
#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "tokenizer/template_text.h"
#include "tokenizer/template_value.h"

namespace dspark::tokenizer::jinja {

namespace {

size_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return static_cast<size_t>(x ^ (x >> 33));
}

std::strong_ordering compare_text(const Value& a, const Value& b, Budget& budget) {
  budget.work(std::min(a.text().size(), b.text().size()));
  return a.text() <=> b.text();  // UTF-8 sorts as code points do
}

// Exact: long double holds every int64 and every double on the platforms we build for.
long double exact(const Value& value) {
  return value.is(Value::Kind::kFloat) ? static_cast<long double>(value.as_float())
                                       : static_cast<long double>(value.as_int());
}

bool equal_dicts(const Dict& a, const Dict& b, Budget& budget) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& entry : a.entries) {
    const Value* other = b.find(entry.key, budget);
    if (!other || !equals(entry.value, *other, budget)) return false;
  }
  return true;
}

// Views, generators and the like: what == and < call the same type.
SequenceKind comparable_kind(SequenceKind kind) {
  return kind == SequenceKind::kGroup ? SequenceKind::kTuple : kind;
}

}  // namespace

bool equals(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  using Kind = Value::Kind;
  if (a.is_number() && b.is_number()) return exact(a) == exact(b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.text().size() != b.text().size()) return false;
      return compare_text(a, b, budget) == 0;
    case Kind::kSequence: {
      const Sequence &x = a.sequence(), &y = b.sequence();
      if (x.kind == SequenceKind::kGenerator) return &x == &y;
      if (comparable_kind(x.kind) != comparable_kind(y.kind)) return false;
      return std::equal(x.items.begin(), x.items.end(), y.items.begin(), y.items.end(),
                        [&](const Value& i, const Value& j) { return equals(i, j, budget); });
    }
    case Kind::kDict:
      return equal_dicts(a.dict(), b.dict(), budget);
    default:
      return a.object() == b.object();
  }
}

bool less(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_number() && b.is_number()) return exact(a) < exact(b);
  for (const Value* side : {&a, &b})
    if (side->is(Value::Kind::kUndefined)) raise("{}", side->undefined_reason());
  if (a.is(Value::Kind::kString) && b.is(Value::Kind::kString))
    return compare_text(a, b, budget) < 0;
  const bool lists = a.is_sequence(SequenceKind::kList) && b.is_sequence(SequenceKind::kList);
  if (lists || (a.is_tuple() && b.is_tuple())) {
    const auto &x = a.items(), &y = b.items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equals(x[i], y[i], budget)) return less(x[i], y[i], budget);
    return x.size() < y.size();
  }
  raise("'{}' and '{}' have no order: they can't be compared with < or >", a.type_name(),
        b.type_name());
}

size_t hash_of(std::string_view text) { return std::hash<std::string_view>{}(text); }

size_t hash_of(const Value& value, Budget& budget) {
  budget.step();
  switch (value.kind()) {
    case Value::Kind::kBool:
    case Value::Kind::kInt:
      return mix(static_cast<uint64_t>(value.as_int()));
    case Value::Kind::kFloat: {
      const double x = value.as_float();
      if (std::abs(x) < 9.2e18 && std::trunc(x) == x)
        return mix(static_cast<uint64_t>(static_cast<int64_t>(x)));
      return mix(std::bit_cast<uint64_t>(x));
    }
    case Value::Kind::kString:
      budget.work(value.text().size());
      return hash_of(value.text());
    case Value::Kind::kSequence:
      if (value.is_tuple()) {
        size_t hash = 1;
        for (const Value& item : value.items()) hash = mix(hash + hash_of(item, budget));
        return hash;
      }
      break;
    case Value::Kind::kDict:
      break;
    default:
      return mix(reinterpret_cast<uintptr_t>(value.object().get()));
  }
  raise("a {} can't be a key", value.type_name());
}

Items iterate(const Value& value, Budget& budget) {
  const auto make = [&](std::vector<Value> items) {
    budget.step(items.size() / 4);
    return Items(std::static_pointer_cast<const Sequence>(
        budget.sequence(std::move(items), SequenceKind::kList).object()));
  };
  switch (value.kind()) {
    case Value::Kind::kSequence: {
      auto sequence = std::static_pointer_cast<const Sequence>(value.object());
      budget.work(sizeof(Value) * sequence->items.size() / 4);
      if (sequence->kind != SequenceKind::kGenerator) return Items(sequence);
      const size_t begin = std::exchange(sequence->consumed, sequence->items.size());
      if (begin == 0) return Items(sequence);
      return make({sequence->items.begin() + static_cast<ptrdiff_t>(begin), sequence->items.end()});
    }
    case Value::Kind::kDict: {
      std::vector<Value> keys;
      keys.reserve(value.dict().entries.size());
      for (const auto& entry : value.dict().entries) keys.push_back(entry.key);
      return make(std::move(keys));
    }
    case Value::Kind::kString: {
      budget.expect_items(value.char_count());
      std::vector<Value> chars;
      chars.reserve(value.char_count());
      for (CharReader reader(value.text()); !reader.done();)
        chars.push_back(budget.string(std::string(reader.next())));
      return make(std::move(chars));
    }
    case Value::Kind::kUndefined:
      return Items(std::make_shared<const Sequence>());
    default:
      raise("'{}' is not something to loop over", value.type_name());
  }
}

}  // namespace dspark::tokenizer::jinja

// The values that a chat template computes with: Python's scalars, strings, sequences and
// dictionaries. Payloads are shared and, but for namespaces, immutable, so copying a value is
// cheap. Everything a template creates is charged to a Budget, which bounds its time and memory.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/base.h"

namespace dspark::tokenizer::jinja {

// Thrown inside the compiler and the interpreter of templates; ChatTemplate turns it into an Error.
struct TemplateError {
  std::string message;
};

template <class... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError{fmt::format(format, std::forward<Args>(args)...)};
}

struct Limits {
  size_t template_bytes = size_t{1} << 20;
  int nesting = 200;                       // blocks and expressions in the template's text
  uint64_t steps = 5'000'000;              // evaluated nodes and visited elements
  size_t work_bytes = size_t{512} << 20;   // bytes produced or scanned, all operations together
  size_t string_bytes = size_t{16} << 20;  // one string, and the output
  size_t list_items = 1'000'000;           // one sequence or dictionary
  uint32_t container_depth = 100;          // lists in lists
  int call_depth = 100;                    // macros within macros
  int evaluation_depth = 1500;             // nodes under evaluation
};

class Value;
class Interpreter;
struct Macro;  // template_ast.h
struct Scope;  // template_interpreter.h

struct Object {
  uint32_t depth = 1;  // containers nested in this one, itself included
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

// Filters, tests, methods and global functions. self: what is filtered, tested or called on.
using Function = Value (*)(Interpreter& interpreter, const Value& self, Arguments& arguments);

enum class SequenceKind : uint8_t {
  kList,
  kTuple,
  kGroup,  // a tuple (grouper, list), as the filter groupby makes them
  kRange,
  kView,       // keys(), values(), items() of a dictionary
  kGenerator,  // read once; no length, no index
};

struct String;
struct Sequence;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;

class Value {
 public:
  enum class Kind : uint8_t {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kSequence,
    kDict,
    kNamespace,
    kLoop,
    kCallable,
  };

  Value() : integer_(0) {}  // undefined
  static Value undefined(std::string why);
  static Value none();
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value real(double value);
  static Value string(std::string text);  // not charged; Budget::string is
  Value(Kind kind, std::shared_ptr<const Object> object)
      : kind_(kind), integer_(0), object_(std::move(object)) {}

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  bool is_sequence(SequenceKind kind) const;
  bool is_tuple() const;

  // The accessors below need the matching kind.
  int64_t as_int() const { return integer_; }  // kInt, kBool
  bool as_bool() const { return integer_ != 0; }
  double as_float() const { return kind_ == Kind::kFloat ? real_ : static_cast<double>(integer_); }
  const std::string& text() const;
  size_t char_count() const;  // code points of a string
  const std::vector<Value>& items() const;
  const Sequence& sequence() const;
  const Dict& dict() const;
  Namespace& name_space() const;
  Loop& loop() const;
  const Callable& callable() const;
  const std::string& undefined_reason() const;
  const std::shared_ptr<const Object>& object() const { return object_; }
  uint32_t depth() const { return object_ ? object_->depth : 0; }

  bool truthy() const;
  // Python's name of the type, for messages.
  std::string_view type_name() const;

 private:
  Kind kind_ = Kind::kUndefined;
  union {
    int64_t integer_;
    double real_;
  };
  std::shared_ptr<const Object> object_;
};

// Counts what a render has used; every method raises when a limit is passed.
class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  void step(uint64_t count = 1) {
    if ((steps_ += count) > limits_.steps) [[unlikely]]
      raise("the template ran more than {} steps", limits_.steps);
  }
  void work(size_t bytes);                 // bytes read or written by an operation
  void expect_string(size_t bytes) const;  // a string of this size is about to be made
  void expect_items(size_t count) const;   // a sequence of this length is about to be made

  Value string(std::string text);
  Value sequence(std::vector<Value> items, SequenceKind kind = SequenceKind::kList);
  Value dict(Dict dict);
  void check_depth(uint32_t depth) const;

 private:
  Limits limits_;
  uint64_t steps_ = 0;
  size_t work_bytes_ = 0;
};

struct String : Object {
  std::string text;
  size_t chars = 0;
};

struct Sequence : Object {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  mutable size_t consumed = 0;  // generators only
};

// Keeps insertion order. Keys are hashable values; 1, 1.0 and true are one key, as in Python.
struct Dict : Object {
  struct Entry {
    Value key, value;
    size_t hash;
  };
  std::vector<Entry> entries;

  const Value* find(const Value& key, Budget& budget) const;
  const Value* find(std::string_view key) const;
  void set(Value key, Value value, Budget& budget);
  void set(std::string_view key, Value value);

 private:
  template <class Same>
  size_t position(size_t hash, Same same) const;  // entries.size() when absent
  void append(Value key, Value value, size_t hash);
  std::vector<uint32_t> slots_;  // open addressing: entry + 1, once there are more than a few
};

struct Namespace : Object {
  Dict attributes;
};

struct Loop : Object {
  std::shared_ptr<const Sequence> sequence;
  size_t index = 0;
  bool finished = false;
  std::vector<Value> last_changed;
  bool has_changed = false;
};

struct Callable : Object {
  std::string name;
  Function function = nullptr;  // a function or method; null for a macro
  Value receiver;               // a method's object
  const Macro* macro = nullptr;
  Scope* scope = nullptr;       // where the macro was defined; kept alive by the interpreter
  mutable size_t position = 0;  // cycler, joiner
};

// Python's == and <; less raises for types without an order.
bool equals(const Value& a, const Value& b, Budget& budget);
bool less(const Value& a, const Value& b, Budget& budget);
// Raises for lists and dictionaries.
size_t hash_of(const Value& value, Budget& budget);
size_t hash_of(std::string_view text);  // as of a string value
// What a for loop visits; keeps the values alive.
class Items {
 public:
  explicit Items(std::shared_ptr<const Sequence> sequence) : sequence_(std::move(sequence)) {}
  auto begin() const { return sequence_->items.begin(); }
  auto end() const { return sequence_->items.end(); }
  size_t size() const { return sequence_->items.size(); }
  bool empty() const { return sequence_->items.empty(); }
  const Value& operator[](size_t i) const { return sequence_->items[i]; }
  const Value& back() const { return sequence_->items.back(); }
  const std::shared_ptr<const Sequence>& sequence() const { return sequence_; }

 private:
  std::shared_ptr<const Sequence> sequence_;
};
// Raises when the value can't be looped over. Uses a generator up.
Items iterate(const Value& value, Budget& budget);

// Raises when the nesting passes the limit or an integer is not an int64.
Value from_json(const nlohmann::ordered_json& json, const Limits& limits);

}  // namespace dspark::tokenizer::jinja

// The names a template finds ready: filters, tests, methods and global functions.
#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "tokenizer/template_value.h"

namespace dspark::tokenizer::jinja {

struct Builtin {
  std::string_view name;
  Function function;
};

// Null when there is none. find_method also finds the methods of loops and cyclers.
Function find_filter(std::string_view name);
Function find_test(std::string_view name);
Function find_method(const Value& object, std::string_view name);
// A method of Python's that changes its list or dictionary in place.
bool is_mutating_method(const Value& object, std::string_view name);
std::span<const Builtin> global_functions();

// One table a file.
std::span<const Builtin> text_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> tests();
std::span<const Builtin> string_methods();
std::span<const Builtin> split_methods();  // of strings, too
std::span<const Builtin> dict_methods();
std::span<const Builtin> list_methods();

// A call's arguments by parameter. Raises for unknown, repeated, missing and superfluous ones.
class Parameters {
 public:
  Parameters(std::string_view what, Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required = 0);
  bool has(size_t i) const { return given_[i]; }
  const Value& operator[](size_t i) const { return values_[i]; }
  int64_t integer(size_t i, int64_t otherwise) const;
  bool flag(size_t i, bool otherwise) const { return has(i) ? values_[i].truthy() : otherwise; }
  // Raises unless the argument is a string.
  const std::string& text(size_t i) const;
  const std::string& text(size_t i, const std::string& otherwise) const {
    return has(i) ? text(i) : otherwise;
  }

 private:
  std::string_view what_;
  std::array<Value, 6> values_;
  std::array<bool, 6> given_{};
};

// text.format(...), Python's mini-language without nested fields.
Value str_format(Interpreter& interpreter, const Value& self, Arguments& arguments);
// strftime in UTC and the C locale. Raises when the time or the format is out of range.
std::string format_time(const std::string& format, int64_t unix_s);

}  // namespace dspark::tokenizer::jinja

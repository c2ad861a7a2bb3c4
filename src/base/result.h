// Errors as values. Whatever reads untrusted input returns a Result; its message names the file,
// the place and what was expected. Programmer faults are CHECKs (check.h), not Results.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace dspark {

struct Error {
  std::string message;
};

// fail("{}: expected {}", file, what) builds the Error that a Result is made from.
template <class... Args>
Error fail(fmt::format_string<Args...> format, Args&&... args) {
  return Error{fmt::format(format, std::forward<Args>(args)...)};
}

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() {
    CHECK(ok(), "value() of an error: {}", std::get<1>(state_).message);
    return std::get<0>(state_);
  }
  const T& value() const { return const_cast<Result*>(this)->value(); }
  T take() { return std::move(value()); }
  T* operator->() { return &value(); }
  T& operator*() { return value(); }
  const Error& error() const { return std::get<1>(state_); }
  const std::string& message() const { return error().message; }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return *error_; }
  const std::string& message() const { return error_->message; }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace dspark

#define DSPARK_CONCAT_INNER(a, b) a##b
#define DSPARK_CONCAT(a, b) DSPARK_CONCAT_INNER(a, b)

// DSPARK_TRY(auto x, expression): x is the value, or the error is returned to the caller.
#define DSPARK_TRY(declaration, expression)                                                    \
  auto DSPARK_CONCAT(result_, __LINE__) = (expression);                                        \
  if (!DSPARK_CONCAT(result_, __LINE__).ok()) return DSPARK_CONCAT(result_, __LINE__).error(); \
  declaration = DSPARK_CONCAT(result_, __LINE__).take()

#define DSPARK_RETURN_IF_ERROR(expression)                                  \
  do {                                                                      \
    if (auto status_ = (expression); !status_.ok()) return status_.error(); \
  } while (false)

// CHECK(condition) and CHECK(condition, "format {}", ...): a programmer's fault stops the program
// with the place and the values. Never for input: that is what Result is for.
#pragma once

#include <fmt/format.h>

#include <string>

namespace dspark {
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& message);

inline std::string check_message() { return {}; }
template <class... Args>
std::string check_message(fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format(format, std::forward<Args>(args)...);
}
}  // namespace dspark

#define CHECK(condition, ...)                                       \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::dspark::check_failed(__FILE__, __LINE__, #condition,        \
                             ::dspark::check_message(__VA_ARGS__)); \
  } while (false)

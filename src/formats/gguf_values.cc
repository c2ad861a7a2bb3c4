// Typed access to GGUF metadata.
#include <cmath>
#include <limits>

#include "formats/gguf.h"
#include "formats/shown.h"

namespace dspark::formats {
namespace {

std::string_view kind_name(const GgufValue& value) {
  struct Names {
    std::string_view operator()(bool) const { return "a boolean"; }
    std::string_view operator()(int64_t) const { return "an integer"; }
    std::string_view operator()(uint64_t) const { return "an integer"; }
    std::string_view operator()(double) const { return "a float"; }
    std::string_view operator()(const std::string&) const { return "a string"; }
    std::string_view operator()(const GgufArray& array) const {
      constexpr std::string_view kArrays[] = {
          "an array of booleans", "an array of integers", "an array of integers",
          "an array of floats",   "an array of strings",
      };
      return kArrays[array.items.index()];
    }
  };
  return std::visit(Names{}, value);
}

// What looks a key up and says what is wrong with it.
struct Lookup {
  const GgufFile& file;
  std::string_view key;

  Result<const GgufValue*> value() const {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end())
      return fail("{}: key {} is missing", file.name(), shown(key));
    return &found->second;
  }

  Error wrong(std::string_view wanted, const GgufValue& found) const {
    return fail("{}: key {}: expected {}, found {}", file.name(), shown(key), wanted,
                kind_name(found));
  }

  Error out_of_range(std::string_view wanted) const {
    return fail("{}: key {}: expected {}", file.name(), shown(key), wanted);
  }

  Result<int64_t> to_int64(uint64_t value) const {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return fail("{}: key {}: {} is too large", file.name(), shown(key), value);
    return static_cast<int64_t>(value);
  }
};

}  // namespace

Result<int64_t> GgufFile::integer(std::string_view key) const {
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  if (const auto* number = std::get_if<int64_t>(value)) return *number;
  if (const auto* number = std::get_if<uint64_t>(value)) return lookup.to_int64(*number);
  return lookup.wrong("an integer", *value);
}

Result<int64_t> GgufFile::integer(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : Result<int64_t>(fallback);
}

Result<double> GgufFile::number(std::string_view key) const {
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  if (const auto* number = std::get_if<double>(value)) {
    if (!std::isfinite(*number)) return lookup.out_of_range("a finite number");
    return *number;
  }
  if (const auto* number = std::get_if<int64_t>(value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<uint64_t>(value)) return static_cast<double>(*number);
  return lookup.wrong("a number", *value);
}

Result<double> GgufFile::number(std::string_view key, double fallback) const {
  return has(key) ? number(key) : Result<double>(fallback);
}

Result<bool> GgufFile::boolean(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  if (const auto* boolean = std::get_if<bool>(value)) return *boolean;
  return lookup.wrong("a boolean", *value);
}

Result<std::string> GgufFile::string(std::string_view key) const {
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  return lookup.wrong("a string", *value);
}

Result<std::string> GgufFile::string(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : Result<std::string>(std::move(fallback));
}

Result<const std::vector<std::string>*> GgufFile::strings(std::string_view key) const {
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  if (const auto* array = std::get_if<GgufArray>(value))
    if (const auto* items = std::get_if<std::vector<std::string>>(&array->items)) return items;
  return lookup.wrong("an array of strings", *value);
}

Result<std::vector<bool>> GgufFile::booleans(std::string_view key) const {
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  if (const auto* array = std::get_if<GgufArray>(value))
    if (const auto* items = std::get_if<std::vector<bool>>(&array->items)) return *items;
  return lookup.wrong("an array of booleans", *value);
}

Result<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr) return lookup.wrong("an array of integers", *value);
  if (const auto* items = std::get_if<std::vector<int64_t>>(&array->items)) return *items;
  const auto* items = std::get_if<std::vector<uint64_t>>(&array->items);
  if (items == nullptr) return lookup.wrong("an array of integers", *value);
  std::vector<int64_t> out;
  out.reserve(items->size());
  for (const uint64_t item : *items) {
    DSPARK_TRY(const int64_t number, lookup.to_int64(item));
    out.push_back(number);
  }
  return out;
}

Result<std::vector<double>> GgufFile::numbers(std::string_view key) const {
  const Lookup lookup{*this, key};
  DSPARK_TRY(const GgufValue* value, lookup.value());
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr) return lookup.wrong("an array of numbers", *value);
  if (const auto* items = std::get_if<std::vector<double>>(&array->items)) {
    for (const double item : *items)
      if (!std::isfinite(item)) return lookup.out_of_range("finite numbers");
    return *items;
  }
  if (const auto* items = std::get_if<std::vector<int64_t>>(&array->items))
    return std::vector<double>(items->begin(), items->end());
  if (const auto* items = std::get_if<std::vector<uint64_t>>(&array->items))
    return std::vector<double>(items->begin(), items->end());
  return lookup.wrong("an array of numbers", *value);
}

}  // namespace dspark::formats

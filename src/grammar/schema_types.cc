#include <algorithm>
#include <cmath>
#include <set>

#include "grammar/schema_compiler.h"
#include "tokenizer/tokenizer.h"

namespace dspark::grammar {
namespace {
constexpr int kMostCount = 10'000;  // of a string's characters, of an array's items
constexpr size_t kMostPrefixItems = 256, kMostNameBytes = 256;
}  // namespace

Expression text_of_value(const Json& value) {
  return text_of(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<Expression> SchemaCompiler::of_type(const std::string& type, const Json& schema,
                                           const std::string& place, int depth) {
  if (type == "object") return object_of(schema, place, depth);
  if (type == "array") return array_of(schema, place, depth);
  if (type == "string") return string_of(schema, place);
  if (type == "number" || type == "integer") return number_of(schema, type == "integer", place);
  if (type == "boolean") return json_.boolean();
  if (type == "null") return text_of("null");
  return fail("{}: \"type\": {}, {}", place, tokenizer::in_quotes(type), kNoTypeError);
}

Result<int> SchemaCompiler::count_of(const Json& schema, const char* keyword, int fallback,
                                     const std::string& place) const {
  if (!schema.contains(keyword)) return fallback;
  const Json& value = schema[keyword];
  const double count = value.is_number() ? value.get<double>() : -1;
  if (!(count >= 0 && count <= kMostCount) || count != std::nearbyint(count))
    return fail("{}: \"{}\": expected a whole number from 0 to {}", place, keyword, kMostCount);
  return static_cast<int>(count);
}

Result<Expression> SchemaCompiler::string_of(const Json& schema, const std::string& place) {
  DSPARK_TRY(const int least, count_of(schema, "minLength", 0, place));
  DSPARK_TRY(const int most, count_of(schema, "maxLength", -1, place));
  if (most >= 0 && most < least) return fail("{}: no string has such a length", place);
  Expression string = json_.string(least, most);
  return least == 0 && most < 0 ? std::move(string) : rule(place, std::move(string));
}

// The bound as a whole number; where there is none, the last that can be written.
Result<int64_t> SchemaCompiler::bound_of(const Json& schema, bool lower, bool whole,
                                         const std::string& place) const {
  const char* keyword = lower ? "minimum" : "maximum";
  const char* exclusive = lower ? "exclusiveMinimum" : "exclusiveMaximum";
  double bound = lower ? -static_cast<double>(kMostWhole) : static_cast<double>(kMostWhole);
  bool has = false;
  for (const char* name : {keyword, exclusive}) {
    if (!schema.contains(name)) continue;
    if (!schema[name].is_number()) return fail("{}: \"{}\": expected a number", place, name);
    double value = schema[name].get<double>();
    if (!(std::fabs(value) <= 1e15))
      return fail("{}: \"{}\": expected a number from -1e15 to 1e15", place, name);
    if (!whole && name == exclusive)
      return fail("{}: \"{}\" is supported for integers only", place, name);
    if (!whole && value != std::nearbyint(value))
      return fail("{}: \"{}\": only whole numbers are supported", place, name);
    if (name == exclusive) value = lower ? std::floor(value) + 1 : std::ceil(value) - 1;
    value = lower ? std::ceil(value) : std::floor(value);
    bound = !has ? value : lower ? std::max(bound, value) : std::min(bound, value);
    has = true;
  }
  return has ? static_cast<int64_t>(bound) : lower ? -kMostWhole : kMostWhole;
}

Result<Expression> SchemaCompiler::number_of(const Json& schema, bool whole,
                                             const std::string& place) {
  DSPARK_TRY(const int64_t low, bound_of(schema, true, whole, place));
  DSPARK_TRY(const int64_t high, bound_of(schema, false, whole, place));
  if (low > high) return fail("{}: no number lies within the bounds", place);
  if (whole) return rule(place, whole_number(low, high));
  if (low == -kMostWhole && high == kMostWhole) return json_.number();
  return rule(place, real_number(low, high));
}

Result<Expression> SchemaCompiler::array_of(const Json& schema, const std::string& place,
                                            int depth) {
  DSPARK_TRY(const int least, count_of(schema, "minItems", 0, place));
  DSPARK_TRY(const int most, count_of(schema, "maxItems", -1, place));
  if (most >= 0 && most < least) return fail("{}: no array has so many items", place);
  std::vector<Expression> first;  // items that have schemas of their own
  if (schema.contains("prefixItems")) {
    const Json& prefix = schema["prefixItems"];
    if (!prefix.is_array() || prefix.size() > kMostPrefixItems)
      return fail("{}: \"prefixItems\": expected a list of at most {} schemas", place,
                  kMostPrefixItems);
    for (size_t i = 0; i < prefix.size() && (most < 0 || static_cast<int>(i) < most); ++i) {
      DSPARK_TRY(Expression item,
                 value_of(prefix[i], fmt::format("{}/prefixItems/{}", place, i), depth + 1));
      first.push_back(std::move(item));
    }
  }
  const auto count = static_cast<int>(first.size());
  // Behind them: none where the schema does not say what.
  const bool more = most < 0 || most > count;
  const bool has_rest = schema.contains("items") ? schema["items"] != Json(false) : count == 0;
  Expression tail = sequence({});
  if (more && has_rest) {
    DSPARK_TRY(Expression rest, schema.contains("items")
                                    ? value_of(schema["items"], place + "/items", depth + 1)
                                    : Result<Expression>(json_.any()));
    if (count == 0) {
      tail = json_.some(std::move(rest), least, most);
      if (least == 0) tail = maybe(std::move(tail));
    } else {
      tail = repeat(sequence({json_.comma(), std::move(rest)}), std::max(least - count, 0),
                    most < 0 ? -1 : most - count);
    }
  } else if (least > count) {
    return fail("{}: \"minItems\": {}, but only {} items are described", place, least, count);
  }
  for (int i = count - 1; i >= 0; --i) {
    std::vector<Expression> parts;
    if (i > 0) parts.push_back(json_.comma());
    parts.push_back(std::move(first[static_cast<size_t>(i)]));
    parts.push_back(std::move(tail));
    tail = i < least ? sequence(std::move(parts)) : maybe(sequence(std::move(parts)));
  }
  return rule(place, json_.enclosed('[', std::move(tail), ']'));
}

Result<Expression> SchemaCompiler::object_of(const Json& schema, const std::string& place,
                                             int depth) {
  Json properties = schema.value("properties", Json::object());
  const Json required = schema.value("required", Json::array());
  if (!properties.is_object()) return fail("{}: \"properties\": expected an object", place);
  if (!required.is_array()) return fail("{}: \"required\": expected a list of names", place);
  // Where the schema doesn't say, other properties are made only if it names none.
  const Json others = schema.contains("additionalProperties") ? schema["additionalProperties"]
                                                              : Json(properties.empty());
  std::set<std::string> wanted;
  for (const Json& name : required) {
    if (!name.is_string()) return fail("{}: \"required\": expected a list of names", place);
    wanted.insert(name.get<std::string>());
    if (properties.contains(name.get<std::string>())) continue;
    if (schema.contains("additionalProperties") && others == Json(false))
      return fail("{}: \"required\": {} is none of the properties, and there may be no others",
                  place, tokenizer::in_quotes(name.get<std::string>()));
    properties[name.get<std::string>()] = others == Json(false) ? Json(true) : others;
  }
  Expression list{.kind = Expression::Kind::kList};
  std::vector<std::string> names;
  for (const auto& [name, property] : properties.items()) {
    names.push_back(name);
    DSPARK_TRY(Expression value,
               value_of(property, fmt::format("{}/properties/{}", place, name), depth + 1));
    list.parts.push_back(json_.pair(text_of_value(name), std::move(value)));
    list.optional.push_back(!wanted.contains(name));
  }
  if (others != Json(false)) {
    for (const std::string& name : names)
      if (name.size() > kMostNameBytes)
        return fail("{}: a name of {} bytes, expected at most {} where there may be others", place,
                    name.size(), kMostNameBytes);
    DSPARK_TRY(Expression value, value_of(others, place + "/additionalProperties", depth + 1));
    list.parts.push_back(json_.some(json_.pair(other_key(names), std::move(value))));
    list.optional.push_back(true);
  }
  list.parts.push_back(json_.comma());
  return rule(place, json_.enclosed('{', std::move(list), '}'));
}

}  // namespace dspark::grammar

// From a JSON schema to rules: each schema that is not a simple one becomes a rule of its own.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "grammar/front_ends.h"
#include "grammar/json_values.h"
#include "grammar/schema_merge.h"
#include "tokenizer/tokenizer.h"

namespace dspark::grammar {
namespace {

constexpr size_t kMostSchemaBytes = 256 << 10;
constexpr int kMostCount = 10'000;  // of a string's characters, of an array's items
constexpr size_t kMostPrefixItems = 256, kMostNameBytes = 256;
constexpr const char* kNoTypeError =
    "expected one of array, boolean, integer, null, number, object, string";

const std::vector<std::string>& keywords() {
  static const std::vector<std::string> kKeywords = {"$ref",        "additionalProperties",
                                                     "allOf",       "anyOf",
                                                     "const",       "enum",
                                                     "items",       "exclusiveMaximum",
                                                     "maximum",     "exclusiveMinimum",
                                                     "minimum",     "maxItems",
                                                     "maxLength",   "minItems",
                                                     "minLength",   "oneOf",
                                                     "prefixItems", "properties",
                                                     "required",    "type"};
  return kKeywords;
}
constexpr const char* kUnsupported[] = {"pattern",
                                        "patternProperties",
                                        "not",
                                        "if",
                                        "then",
                                        "else",
                                        "dependentRequired",
                                        "dependentSchemas",
                                        "dependencies",
                                        "contains",
                                        "minContains",
                                        "maxContains",
                                        "uniqueItems",
                                        "minProperties",
                                        "maxProperties",
                                        "propertyNames",
                                        "multipleOf",
                                        "unevaluatedItems",
                                        "unevaluatedProperties",
                                        "additionalItems",
                                        "$dynamicRef",
                                        "$recursiveRef",
                                        "$anchor",
                                        "$dynamicAnchor"};

std::string type_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "boolean";
    case Json::value_t::string:
      return "string";
    case Json::value_t::array:
      return "array";
    case Json::value_t::object:
      return "object";
    case Json::value_t::number_float:
      return std::nearbyint(value.get<double>()) == value.get<double>() ? "integer" : "number";
    default:
      return "integer";
  }
}

Expression text_of_value(const Json& value) {
  return text_of(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Json& root) : root_(root), merger_(root), json_(rules_) {}

  Result<Rules> compile(const Frame& frame);

 private:
  Result<Expression> value_of(const Json& schema, const std::string& place, int depth);
  Result<Expression> flat_value_of(const Json& schema, const std::string& place, int depth);
  Result<Expression> any_of(const Json& schema, const std::string& keyword,
                            const std::string& place, int depth);
  Result<Expression> one_of_values(const Json& schema, const std::string& place);
  Result<Expression> of_type(const std::string& type, const Json& schema, const std::string& place,
                             int depth);
  Result<Expression> string_of(const Json& schema, const std::string& place);
  Result<Expression> number_of(const Json& schema, bool whole, const std::string& place);
  Result<Expression> array_of(const Json& schema, const std::string& place, int depth);
  Result<Expression> object_of(const Json& schema, const std::string& place, int depth);

  Result<int> count_of(const Json& schema, const char* keyword, int fallback,
                       const std::string& place) const;
  Result<int64_t> bound_of(const Json& schema, bool lower, bool whole,
                           const std::string& place) const;
  Status check_keywords(const Json& schema, const std::string& place) const;
  Expression rule(const std::string& place, Expression body);
  int rule_at(const Json& target, const std::string& pointer);

  const Json& root_;
  SchemaMerger merger_;
  Rules rules_;
  JsonRules json_;
  std::map<const Json*, int> targets_;             // of references: their rules
  std::vector<std::pair<const Json*, int>> open_;  // those whose bodies are still to be made
};

Result<Rules> SchemaCompiler::compile(const Frame& frame) {
  if (!frame.empty()) {
    const Expression one =
        sequence({text_of(frame.before), rule_of(1), text_of(frame.after)});  // 1: the schema's
    Expression all =
        !frame.many ? one : sequence({one, repeat(sequence({text_of(frame.between), one}), 0, -1)});
    rules_.push_back({"frame", std::move(all)});
  }
  rule_at(root_, "#");
  while (!open_.empty()) {
    const auto [schema, index] = open_.back();
    open_.pop_back();
    const std::string place = rules_[static_cast<size_t>(index)].name;  // rules_ grows
    DSPARK_TRY(Expression body, value_of(*schema, place, 0));
    rules_[static_cast<size_t>(index)].body = std::move(body);
  }
  return std::move(rules_);
}

int SchemaCompiler::rule_at(const Json& target, const std::string& pointer) {
  const auto [at, added] = targets_.try_emplace(&target, static_cast<int>(rules_.size()));
  if (added) {
    rules_.push_back({pointer, {}});
    open_.emplace_back(&target, at->second);
  }
  return at->second;
}

Expression SchemaCompiler::rule(const std::string& place, Expression body) {
  rules_.push_back({place, std::move(body)});
  return rule_of(static_cast<int>(rules_.size()) - 1);
}

Status SchemaCompiler::check_keywords(const Json& schema, const std::string& place) const {
  for (const auto& [keyword, value] : schema.items()) {
    if (is_annotation(keyword) || (keyword == "uniqueItems" && value == false)) continue;
    if (std::find(keywords().begin(), keywords().end(), keyword) != keywords().end()) continue;
    if (std::find(std::begin(kUnsupported), std::end(kUnsupported), keyword) !=
        std::end(kUnsupported))
      return fail("{}: \"{}\" is not supported", place, keyword);
    return fail("{}: {} is no keyword, the nearest is \"{}\"", place, tokenizer::in_quotes(keyword),
                nearest_word(keyword, keywords()));
  }
  return {};
}

Result<Expression> SchemaCompiler::value_of(const Json& schema, const std::string& place,
                                            int depth) {
  if (depth > kMostSchemaDepth) return fail("{}: nests more than {} deep", place, kMostSchemaDepth);
  if (schema == Json(true)) return json_.any();
  if (schema == Json(false)) return fail("{}: false has no value", place);
  if (!schema.is_object()) return fail("{}: expected an object, true or false", place);
  DSPARK_RETURN_IF_ERROR(check_keywords(schema, place));
  if (schema.contains("$ref") && !says_more_than(schema, "$ref")) {
    DSPARK_TRY(const Json* target, merger_.target(schema["$ref"], place));
    return rule_of(rule_at(*target, schema["$ref"].get<std::string>()));
  }
  if (!schema.contains("$ref") && !schema.contains("allOf"))
    return flat_value_of(schema, place, depth);
  DSPARK_TRY(const Json flat, merger_.flat(schema, place));
  DSPARK_RETURN_IF_ERROR(check_keywords(flat, place));
  return flat_value_of(flat, place, depth);
}

Result<Expression> SchemaCompiler::flat_value_of(const Json& schema, const std::string& place,
                                                 int depth) {
  for (const char* keyword : {"anyOf", "oneOf"})
    if (schema.contains(keyword)) return any_of(schema, keyword, place, depth);
  if (schema.contains("const") || schema.contains("enum")) return one_of_values(schema, place);
  std::vector<std::string> types;
  if (schema.contains("type")) {
    const Json& type = schema["type"];
    for (const Json& one : type.is_array() ? type : Json::array({type})) {
      if (!one.is_string()) return fail("{}: \"type\": {}", place, kNoTypeError);
      types.push_back(one.get<std::string>());
    }
    if (types.empty()) return fail("{}: \"type\": {}", place, kNoTypeError);
  } else {  // what the keywords are about
    const auto has = [&](std::initializer_list<const char*> names) {
      return std::any_of(names.begin(), names.end(),
                         [&](const char* name) { return schema.contains(name); });
    };
    if (has({"properties", "required", "additionalProperties"})) types.push_back("object");
    if (has({"items", "prefixItems", "minItems", "maxItems"})) types.push_back("array");
    if (has({"minLength", "maxLength"})) types.push_back("string");
    if (has({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}))
      types.push_back("number");
    if (types.empty()) return json_.any();
  }
  std::vector<Expression> parts;
  for (const std::string& type : types) {
    DSPARK_TRY(Expression part, of_type(type, schema, place, depth));
    parts.push_back(std::move(part));
  }
  return parts.size() == 1 ? std::move(parts[0]) : rule(place, choice(std::move(parts)));
}

// A text is of one of the schemas at least; that it is of one alone is not held.
Result<Expression> SchemaCompiler::any_of(const Json& schema, const std::string& keyword,
                                          const std::string& place, int depth) {
  const Json& branches = schema[keyword];
  if (!branches.is_array() || branches.empty())
    return fail("{}: \"{}\": expected a list of schemas", place, keyword);
  Json beside = schema;
  beside.erase(keyword);
  const bool alone = !says_more_than(beside, keyword);
  std::vector<Expression> parts;
  for (size_t i = 0; i < branches.size(); ++i) {
    const std::string at = fmt::format("{}/{}/{}", place, keyword, i);
    if (alone) {
      DSPARK_TRY(Expression part, value_of(branches[i], at, depth + 1));
      parts.push_back(std::move(part));
    } else {
      DSPARK_TRY(const Json both, merger_.merged(beside, branches[i], at));
      DSPARK_TRY(Expression part, value_of(both, at, depth + 1));
      parts.push_back(std::move(part));
    }
  }
  return rule(place, choice(std::move(parts)));
}

Result<Expression> SchemaCompiler::one_of_values(const Json& schema, const std::string& place) {
  for (const auto& [keyword, value] : schema.items())
    if (keyword != "const" && keyword != "enum" && keyword != "type" && !is_annotation(keyword))
      return fail("{}: \"{}\" beside \"enum\" or \"const\" is not supported", place, keyword);
  Json values = schema.contains("const") ? Json::array({schema["const"]}) : schema["enum"];
  if (!values.is_array() || values.empty())
    return fail("{}: \"enum\": expected a list of values", place);
  const Json type = schema.value("type", Json());
  const Json types = type.is_null() || type.is_array() ? type : Json::array({type});
  std::vector<Expression> parts;
  for (const Json& value : values) {
    const std::string its = type_of(value);
    const auto is_listed = [&](const char* name) {
      return std::find(types.begin(), types.end(), name) != types.end();
    };
    if (types.is_null() || is_listed(its.c_str()) || (its == "integer" && is_listed("number")))
      parts.push_back(text_of_value(value));
  }
  if (parts.empty()) return fail("{}: none of the values has the type asked for", place);
  return rule(place, choice(std::move(parts)));
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

// How deep it nests, up to kMostSchemaDepth: enum and const may hold anything.
bool nests_deeper(const Json& value, int most) {
  if (!value.is_structured()) return false;
  if (most == 0) return true;
  return std::any_of(value.begin(), value.end(),
                     [most](const Json& part) { return nests_deeper(part, most - 1); });
}

}  // namespace

Result<Rules> rules_of_schema(const Json& schema, const Frame& frame) {
  // Each schema within a schema takes up to three levels.
  if (nests_deeper(schema, 4 * kMostSchemaDepth))
    return fail("#: nests more than {} deep", kMostSchemaDepth);
  const size_t bytes = schema.dump(-1, ' ', false, Json::error_handler_t::replace).size();
  if (bytes > kMostSchemaBytes)
    return fail("#: {} bytes, expected at most {}", bytes, kMostSchemaBytes);
  return SchemaCompiler(schema).compile(frame);
}

}  // namespace dspark::grammar

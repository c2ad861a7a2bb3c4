#include <algorithm>
#include <cmath>

#include "grammar/schema_compiler.h"
#include "tokenizer/tokenizer.h"

namespace dspark::grammar {
namespace {

constexpr size_t kMostSchemaBytes = 256 << 10;

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

}  // namespace

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

namespace {

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

#include "grammar/schema_merge.h"

#include <algorithm>

#include "tokenizer/tokenizer.h"

namespace dspark::grammar {
namespace {

constexpr const char* kAnnotations[] = {
    "$schema",  "$id",        "$comment", "$defs",    "definitions",     "title",
    "default",  "deprecated", "examples", "example",  "description",     "format",
    "readOnly", "writeOnly",  "id",       "nullable", "contentEncoding", "contentMediaType"};
constexpr int kMostMerges = 1000;

// A pointer's step, "~1" standing for "/" and so on.
Result<std::string> unescaped(std::string_view step, const std::string& place) {
  std::string result;
  for (size_t i = 0; i < step.size(); ++i) {
    if (step[i] == '~' && i + 1 < step.size() && (step[i + 1] == '0' || step[i + 1] == '1')) {
      result += step[++i] == '0' ? '~' : '/';
    } else if (step[i] == '~' || step[i] == '%') {
      return fail("{}: \"$ref\": expected ~0 for ~ and ~1 for /, without %", place);
    } else {
      result += step[i];
    }
  }
  return result;
}

Json list_of(const Json& one_or_more) {
  return one_or_more.is_array() ? one_or_more : Json::array({one_or_more});
}

}  // namespace

bool is_annotation(const std::string& keyword) {
  return keyword.starts_with("x-") || std::find(std::begin(kAnnotations), std::end(kAnnotations),
                                                keyword) != std::end(kAnnotations);
}

bool says_more_than(const Json& schema, const std::string& keyword) {
  for (const auto& [name, value] : schema.items())
    if (name != keyword && !is_annotation(name)) return true;
  return false;
}

Result<const Json*> SchemaMerger::target(const Json& reference, const std::string& place) const {
  const std::string text = reference.is_string() ? reference.get<std::string>() : std::string();
  if (text != "#" && !text.starts_with("#/"))
    return fail("{}: \"$ref\": expected a place in this schema, as in \"#/$defs/name\"", place);
  const Json* at = &root_;
  for (size_t from = 1; from < text.size();) {
    const size_t end = std::min(text.find('/', from + 1), text.size());
    DSPARK_TRY(const std::string step,
               unescaped(std::string_view(text).substr(from + 1, end - from - 1), place));
    const bool index = at->is_array() && !step.empty() && step.size() < 6 &&
                       step.find_first_not_of("0123456789") == std::string::npos &&
                       std::stoul(step) < at->size();
    if (!index && !(at->is_object() && at->contains(step)))
      return fail("{}: \"$ref\": nothing is at {}", place, tokenizer::in_quotes(text));
    at = index ? &(*at)[std::stoul(step)] : &(*at)[step];
    from = end;
  }
  return at;
}

Result<Json> SchemaMerger::flat(const Json& schema, const std::string& place, int depth) {
  if (depth > kMostSchemaDepth || ++merges_ > kMostMerges)
    return fail("{}: \"$ref\" and \"allOf\" lead too far", place);
  if (schema == Json(true)) return Json::object();
  if (!schema.is_object()) return fail("{}: expected an object, where schemas are merged", place);
  Json result = Json::object();
  for (const auto& [keyword, value] : schema.items())
    if (keyword != "$ref" && keyword != "allOf" && !is_annotation(keyword)) result[keyword] = value;
  if (schema.contains("$ref")) {
    DSPARK_TRY(const Json* found, target(schema["$ref"], place));
    DSPARK_TRY(result, merged(std::move(result), *found, place, depth + 1));
  }
  if (!schema.contains("allOf")) return result;
  const Json& all = schema["allOf"];
  if (!all.is_array() || all.empty()) return fail("{}: \"allOf\": expected a list", place);
  for (const Json& part : all) {
    DSPARK_TRY(result, merged(std::move(result), part, place, depth + 1));
  }
  return result;
}

Result<Json> SchemaMerger::merged(Json a, const Json& b, const std::string& place, int depth) {
  DSPARK_TRY(const Json flat_b, flat(b, place, depth + 1));
  const auto closes = [](const Json& one, const Json& other) {
    return one.contains("additionalProperties") && other.contains("properties");
  };
  if (closes(a, flat_b) || closes(flat_b, a))
    return fail(
        "{}: \"additionalProperties\" beside other \"properties\", by \"allOf\" or "
        "\"$ref\", is not supported",
        place);
  for (const auto& [keyword, value] : flat_b.items())
    DSPARK_RETURN_IF_ERROR(merge_keyword(a, keyword, value, place, depth));
  return a;
}

Status SchemaMerger::merge_keyword(Json& into, const std::string& keyword, const Json& value,
                                   const std::string& place, int depth) {
  if (!into.contains(keyword)) {
    into[keyword] = value;
    return {};
  }
  Json& known = into[keyword];
  if (known == value) return {};
  if (keyword == "properties" && known.is_object() && value.is_object()) {
    for (const auto& [name, schema] : value.items()) {
      if (known.contains(name)) {
        const std::string at = place + "/properties/" + name;
        DSPARK_TRY(const Json first, flat(known[name], at, depth + 1));
        DSPARK_TRY(known[name], merged(first, schema, at, depth + 1));
      } else {
        known[name] = schema;
      }
    }
    return {};
  }
  if (keyword == "required" && known.is_array() && value.is_array()) {
    for (const Json& name : value)
      if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
    return {};
  }
  if (keyword == "type" || (keyword == "enum" && known.is_array() && value.is_array())) {
    const Json other = list_of(value);
    Json both = Json::array();
    for (const Json& one : list_of(known))
      if (std::find(other.begin(), other.end(), one) != other.end()) both.push_back(one);
    if (both.empty())
      return fail("{}: no value has every \"{}\" that is asked for", place, keyword);
    known = std::move(both);
    return {};
  }
  return fail("{}: two different \"{}\", by \"allOf\", \"anyOf\" or \"$ref\", are not supported",
              place, keyword);
}

}  // namespace dspark::grammar

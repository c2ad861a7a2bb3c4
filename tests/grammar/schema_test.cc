// JSON schemas: what they accept, what is refused by name, and that whatever masks allow conforms.
#include <gtest/gtest.h>

#include "grammar/support.h"

namespace dspark::grammar {
namespace {

using testing::Json;

struct SchemaCase {
  const char* schema;
  std::vector<std::string> texts, others;
};

const SchemaCase kSchemaCases[] = {
    {R"({"type": "boolean"})", {"true", "false"}, {"null", "tru", " true"}},
    {R"({"type": ["null", "integer"]})", {"null", "-7", "0"}, {"1.5", "01", "--1", "\"a\""}},
    {R"({"type": "number"})", {"-0.5", "12e+3", "1E9", "7"}, {"1.", ".5", "1e", "+1", "1e999"}},
    {R"({"type": "integer", "minimum": -12, "maximum": 305})",
     {"-12", "-9", "0", "9", "99", "300", "305"},
     {"-13", "-20", "306", "310", "1000", "-0", "007"}},
    {R"({"type": "integer", "exclusiveMinimum": 0})", {"1", "10", "987654"}, {"0", "-1"}},
    {R"({"type": "number", "minimum": 0, "maximum": 1})",
     {"0", "0.25", "1", "1.0"},
     {"1.1", "-0.1", "2", "1e0"}},
    {R"({"type": "number", "minimum": -10, "maximum": -2})",
     {"-2", "-2.5", "-10", "-10.00"},
     {"-1.9", "-10.1", "2"}},
    {R"({"type": "string"})",
     {R"("")", R"("a\n\"\u00e9 \ud83d\ude42 é🙂")"},
     {"\"", R"("\x")", R"("\ud83d")", R"("\ude42")", "\"\n\"", R"("a"b)"}},
    {R"({"type": "string", "minLength": 2, "maxLength": 3})",
     {R"("ab")", R"("é\n🙂")"},
     {R"("a")", R"("abcd")"}},
    {R"({"enum": ["a", 1.5, null, {"b": [1, "c"]}]})",
     {R"("a")", "1.5", "null", R"({"b":[1,"c"]})"},
     {"a", "1", "{}"}},
    {R"({"type": "string", "enum": ["a", 1]})", {R"("a")"}, {"1"}},
    {R"({"const": "x\"y"})", {R"("x\"y")"}, {R"("x")"}},
    {R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
     {"[1]", "[1,2]", "[ 1, 2,\n  3 ]"},
     {"[]", "[1,2,3,4]", "[1,]", "[\"a\"]"}},
    {R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"}},
    {R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1})",
     {"[1]", "[1,\"a\"]"},
     {"[]", "[\"a\"]", "[1,\"a\",2]"}},
    {R"({"prefixItems": [{"type": "integer"}], "items": {"type": "null"}, "maxItems": 3})",
     {"[]", "[1]", "[1, null, null]"},
     {"[null]", "[1,1]", "[1,null,null,null]"}},
    {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
         "required": ["a"]})",
     {R"({"a":1})", R"({"a": 1, "b": "x"})"},
     {"{}", R"({"b":"x"})", R"({"a":1,"c":2})", R"({"a":1,})"}},
    {R"({"properties": {"a": true, "b": true, "c": true}})",
     {"{}", R"({"b":1})", R"({"a":1,"c":{"x":[]}})"},
     {R"({"c":1,"a":1})", R"({"a":1,"a":1})"}},
    {R"({"type": "object", "properties": {"ab": {"type": "integer"}},
         "additionalProperties": {"type": "string"}})",
     {"{}", R"({"ab":1})", R"({"a":"x"})", R"({"abc":"x","b":"y"})", R"({"ab":1,"ac":"x"})"},
     {R"({"ab":"x"})", R"({"a":1})", R"({"\u0061b":"x"})"}},
    {R"({"type": "object", "required": ["z"]})", {R"({"z":1})"}, {"{}", R"({"y":1})"}},
    {R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]})",
     {"1", R"("a")"},
     {R"("ab")", "null"}},
    {R"({"type": "object", "properties": {"a": {"type": "integer"}},
         "anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}]})",
     {R"({"a":1})", R"({"b":null})", R"({"a":1,"b":null})"},
     {"{}"}},
    {R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}},
                   {"$ref": "#/$defs/b"}], "$defs": {"b": {"properties": {"b": {"const": 1}},
                                                           "required": ["b"]}}})",
     {R"({"a":2,"b":1})", R"({"b":1})"},
     {R"({"a":2})"}},
    {R"({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {
         "v": {"type": "integer"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/tree"}]}},
         "required": ["v", "next"]}}})",
     {R"({"v":1,"next":{"v":2,"next":null}})"},
     {R"({"v":1})"}},
    {R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
    {R"({})", {"1", "null", R"({"a":[true,{}]})"}, {"", "nul", "[1"}},
    {R"({"title": "T", "description": "d", "default": 1, "examples": [1], "format": "date",
         "type": "string"})",
     {R"("x")"},
     {"1"}},
};

TEST(Schema, AcceptsItsTextsAndNoOthers) {
  for (const SchemaCase& c : kSchemaCases) {
    const auto grammar = Grammar::from_json_schema(Json::parse(c.schema));
    ASSERT_TRUE(grammar.ok()) << c.schema << ": " << grammar.message();
    for (const std::string& text : c.texts)
      EXPECT_TRUE(testing::accepts(*grammar.value(), text)) << c.schema << ": " << text;
    for (const std::string& text : c.others)
      EXPECT_FALSE(testing::accepts(*grammar.value(), text)) << c.schema << ": " << text;
  }
}

TEST(Schema, StandsInAFrame) {
  const Json schema = Json::parse(R"({"type": "array", "items": {"$ref": "#"}})");
  Frame frame{.before = "<a>", .after = "</a>", .between = ", ", .many = false};
  const auto once = Grammar::from_json_schema(schema, frame).take();
  EXPECT_TRUE(testing::accepts(*once, "<a>[[]]</a>"));
  for (const char* other : {"[]", "<a>[]", "<a></a>", "<a>[]</a>, <a>[]</a>", "<a>[<a>[]</a>]</a>"})
    EXPECT_FALSE(testing::accepts(*once, other)) << other;
  frame.many = true;
  const auto more = Grammar::from_json_schema(schema, frame).take();
  for (const char* text : {"<a>[]</a>", "<a>[]</a>, <a>[[],[]]</a>, <a>[]</a>"})
    EXPECT_TRUE(testing::accepts(*more, text)) << text;
  for (const char* other : {"", "<a>[]</a>, ", "<a>[]</a><a>[]</a>"})
    EXPECT_FALSE(testing::accepts(*more, other)) << other;
  EXPECT_NE(once->source(), more->source());
  EXPECT_NE(once->source(), Grammar::from_json_schema(schema).take()->source());
}

TEST(Schema, RefusesByNameAndPlace) {
  const std::pair<const char*, const char*> kErrors[] = {
      {R"({"type": "string", "pattern": "a+"})", "#: \"pattern\" is not supported"},
      {R"({"properties": {"a": {"type": "number", "multipleOf": 2}}})",
       "#/properties/a: \"multipleOf\" is not supported"},
      {R"({"items": {"uniqueItems": true}})", "#/items: \"uniqueItems\" is not supported"},
      {R"({"propertes": {}})", "#: \"propertes\" is no keyword, the nearest is \"properties\""},
      {R"({"type": "strin"})", "#: \"type\": \"strin\", expected one of"},
      {R"({"type": 3})", "#: \"type\": expected one of"},
      {R"({"type": "string", "minLength": -1})", "#: \"minLength\": expected a whole number"},
      {R"({"type": "string", "minLength": 3, "maxLength": 2})", "no string has such a length"},
      {R"({"type": "integer", "minimum": 3, "maximum": 2})", "no number lies within the bounds"},
      {R"({"type": "number", "minimum": 0.5})", "only whole numbers are supported"},
      {R"({"type": "number", "exclusiveMinimum": 0})", "supported for integers only"},
      {R"({"properties": {"a": false}})", "#/properties/a: false has no value"},
      {R"({"properties": [1]})", "\"properties\": expected an object"},
      {R"({"required": [1]})", "\"required\": expected a list of names"},
      {R"({"properties": {}, "required": ["a"], "additionalProperties": false})",
       "\"a\" is none of the properties"},
      {R"({"$ref": "https://example.com/x"})", "\"$ref\": expected a place in this schema"},
      {R"({"$ref": "#/$defs/x"})", "\"$ref\": nothing is at \"#/$defs/x\""},
      {R"({"$ref": "#"})", "is left-recursive"},
      {R"({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "has no text"},
      {R"({"allOf": [{"$ref": "#"}]})", "lead too far"},
      {R"({"allOf": [{"minimum": 1}, {"minimum": 2}]})", "two different \"minimum\""},
      {R"({"allOf": [{"type": "string"}, {"type": "null"}]})", "no value has every \"type\""},
      {R"({"enum": []})", "\"enum\": expected a list of values"},
      {R"({"enum": [1], "minimum": 0})", "\"minimum\" beside \"enum\""},
      {R"([1])", "#: expected an object, true or false"},
  };
  for (const auto& [schema, message] : kErrors) {
    const auto grammar = Grammar::from_json_schema(Json::parse(schema));
    ASSERT_FALSE(grammar.ok()) << schema;
    EXPECT_NE(grammar.message().find(message), std::string::npos)
        << schema << ": " << grammar.message();
  }
  Json deep = Json::object();
  for (int i = 0; i < 100; ++i) deep = Json{{"items", deep}};
  const auto grammar = Grammar::from_json_schema(deep);
  ASSERT_FALSE(grammar.ok());
  EXPECT_NE(grammar.message().find("nests more than"), std::string::npos);
}

TEST(Schema, WhateverIsAllowedConforms) {
  int texts = 0;
  for (const char* family : {"smollm", "gemma"}) {
    const tokenizer::Tokenizer& tokenizer = testing::vocabulary(family);
    for (const SchemaCase& c : kSchemaCases) {
      const Json schema = Json::parse(c.schema);
      const Masks masks = testing::masks_of(Grammar::from_json_schema(schema).take(), tokenizer);
      for (unsigned seed = 0; seed < 6; ++seed) {
        std::mt19937 random(seed);
        const std::string text = testing::random_text(masks, tokenizer, random, 5 + seed * 5);
        const Json value = Json::parse(text, nullptr, false);
        ASSERT_FALSE(value.is_discarded()) << c.schema << ": " << text;
        EXPECT_TRUE(testing::conforms(value, schema, schema)) << c.schema << ": " << text;
        ++texts;
      }
    }
  }
  fmt::print("{} texts\n", texts);
}

TEST(Schema, AnyObjectIsAnObject) {
  const tokenizer::Tokenizer& tokenizer = testing::vocabulary("smollm");
  const Masks masks = testing::masks_of(Grammar::any_json_object(), tokenizer);
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const std::string text = testing::random_text(masks, tokenizer, random, 40);
    EXPECT_TRUE(Json::parse(text, nullptr, false).is_object()) << text;
  }
}

}  // namespace
}  // namespace dspark::grammar

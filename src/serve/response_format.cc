#include "serve/response_format.h"

namespace dspark::serve {
namespace {

using Made = std::shared_ptr<const grammar::Grammar>;

Made of_schema(Fields& fields, const Json& format) {
  constexpr const char* kPlace = "response_format.json_schema";
  const Json named = format.value("json_schema", Json());
  if (!named.is_object() || !named.contains("schema"))
    return fields.fault(kPlace, "expected an object with a schema"), nullptr;
  auto made = grammar::Grammar::from_json_schema(named["schema"]);
  if (!made.ok()) return fields.fault(kPlace, made.message()), nullptr;
  return made.take();
}

Made of_format(Fields& fields, const Json& format) {
  const Json type = format.is_object() ? format.value("type", Json()) : Json();
  if (type == "text") return nullptr;
  if (type == "json_object") return grammar::Grammar::any_json_object();
  if (type == "json_schema") return of_schema(fields, format);
  fields.fault("response_format", "expected the type text, json_object or json_schema");
  return nullptr;
}

}  // namespace

Made take_grammar(Fields& fields) {
  Made made;
  if (const Json* format = fields.take("response_format")) made = of_format(fields, *format);
  const std::string text = fields.text("grammar", "");
  if (text.empty()) return made;
  if (made != nullptr)
    return fields.fault("grammar", "not beside a response_format of JSON"), nullptr;
  auto own = grammar::Grammar::from_gbnf(text, "line");
  if (!own.ok()) return fields.fault("grammar", own.message()), nullptr;
  return own.take();
}

}  // namespace dspark::serve

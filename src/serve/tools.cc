#include "serve/tools.h"

#include <algorithm>

namespace dspark::serve {
namespace {

constexpr size_t kMostTools = 128, kMostNameBytes = 256;

const char* arguments_key(CallForm form) {
  return form == CallForm::kTagged ? "arguments" : "parameters";
}

// A tool's name; what is wrong is a fault.
std::string checked_name(const Json& tool, const std::string& place, Fields& fields) {
  if (!tool.is_object() || tool.value("type", Json()) != "function" || !tool.contains("function") ||
      !tool["function"].is_object())
    return fields.fault(place, "expected an object of the type function with a function"), "";
  const Json& function = tool["function"];
  const Json name = function.value("name", Json());
  if (!name.is_string() || name.get_ref<const std::string&>().empty() ||
      name.get_ref<const std::string&>().size() > kMostNameBytes)
    return fields.fault(place + ".function.name",
                        fmt::format("expected a name of 1 to {} bytes", kMostNameBytes)),
           "";
  if (const Json parameters = function.value("parameters", Json());
      !parameters.is_null() && !parameters.is_object())
    fields.fault(place + ".function.parameters", "expected an object, a JSON schema");
  return name.get<std::string>();
}

// References within a schema that becomes a part of another, at `root`.
void move_references(Json& schema, const std::string& root) {
  for (auto& [key, value] : schema.items())
    if (key == "$ref" && value.is_string() && value.get_ref<const std::string&>().starts_with('#'))
      value = root + value.get<std::string>().substr(1);
    else if (value.is_structured())
      move_references(value, root);
}

// A function's parameters as a schema of an object.
Json parameters_of(const Json& function) {
  Json schema = function.value("parameters", Json());
  if (schema.is_null()) return {{"type", "object"}, {"additionalProperties", false}};
  if (!schema.contains("type")) schema["type"] = "object";
  return schema;
}

// Calls of one of `chosen`, which index tools.offered, as the model's template spells them.
void hold_to_calls(Tools& tools, const std::vector<size_t>& chosen, bool many, Fields& fields) {
  const char* key = arguments_key(tools.form);
  const auto root = [&](size_t i) { return fmt::format("#/anyOf/{}/properties/{}", i, key); };
  Json schema = {{"anyOf", Json::array()}};
  for (size_t i = 0; i < chosen.size(); ++i) {
    Json parameters = parameters_of(tools.offered[chosen[i]]["function"]);
    move_references(parameters, root(i));
    Json call = {{"type", "object"}, {"additionalProperties", false}};
    call["properties"] = {{"name", {{"const", tools.names[chosen[i]]}}},
                          {key, std::move(parameters)}};
    call["required"] = {"name", key};
    schema["anyOf"].push_back(std::move(call));
  }
  grammar::Frame frame;
  if (tools.form == CallForm::kTagged)
    frame = {.before = std::string(kCallOpen) + "\n",
             .after = "\n" + std::string(kCallClose),
             .between = "\n",
             .many = many};
  auto made = grammar::Grammar::from_json_schema(schema, frame);
  if (made.ok()) {
    tools.grammar = made.take();
    return;
  }
  for (size_t i = 0; i < chosen.size(); ++i)
    if (const std::string at = root(i); made.message().starts_with(at))
      return fields.fault(fmt::format("tools[{}].function.parameters", chosen[i]),
                          "#" + made.message().substr(at.size()));
  fields.fault("tools", made.message());
}

}  // namespace

CallForm call_form_of(const tokenizer::Tokenizer& tokenizer,
                      const tokenizer::PromptEncoder& encoder) {
  if (!encoder.template_reads("tools")) return CallForm::kNone;
  const std::string_view text = tokenizer.chat_template();
  const auto has = [&](std::string_view part) { return text.find(part) != text.npos; };
  if (has("<function=") || has("[TOOL_CALLS]")) return CallForm::kUnknown;
  if (has(kCallOpen) && has(kCallClose)) return CallForm::kTagged;
  return has("\"parameters\":") && has("\"name\":") ? CallForm::kBare : CallForm::kUnknown;
}

Tools take_tools(Fields& fields, CallForm form) {
  Tools tools;
  const Json* list = fields.take("tools");
  const Json* choice = fields.take("tool_choice");
  tools.parallel = fields.boolean("parallel_tool_calls", true);
  const bool none = choice != nullptr && *choice == "none";
  if (list == nullptr || (list->is_array() && list->empty())) {
    if (choice != nullptr && !none && *choice != "auto")
      fields.fault("tool_choice", "only with tools");
    return tools;
  }
  if (!none && form == CallForm::kNone) fields.fault("tools", "the model's chat template has none");
  if (!none && form == CallForm::kUnknown)
    fields.fault("tools", "the model's chat template spells calls in a way that is not known here");
  if (!list->is_array() || list->size() > kMostTools)
    return fields.fault("tools", fmt::format("expected a list of at most {} tools", kMostTools)),
           tools;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string place = fmt::format("tools[{}]", i);
    const std::string name = checked_name((*list)[i], place, fields);
    if (std::find(tools.names.begin(), tools.names.end(), name) != tools.names.end())
      fields.fault(place + ".function.name", "a second one of this name");
    if (fields.fault()) return tools;
    tools.names.push_back(name);
  }
  if (none) return {};
  tools.form = form;
  tools.offered = *list;

  if (choice == nullptr || *choice == "auto") return tools;
  std::vector<size_t> chosen;
  if (*choice == "required") {
    for (size_t i = 0; i < tools.names.size(); ++i) chosen.push_back(i);
    hold_to_calls(tools, chosen, tools.parallel, fields);
    return tools;
  }
  const Json function = choice->is_object() && choice->value("type", Json()) == "function"
                            ? choice->value("function", Json())
                            : Json();
  const Json name = function.is_object() ? function.value("name", Json()) : Json();
  if (!name.is_string())
    return fields.fault("tool_choice", "expected none, auto, required or a function with its name"),
           tools;
  const auto named = std::find(tools.names.begin(), tools.names.end(), name.get<std::string>());
  if (named == tools.names.end())
    return fields.fault("tool_choice",
                        fmt::format("{} is none of the tools, the nearest is {}", dump(name),
                                    nearest_word(name.get<std::string>(), tools.names))),
           tools;
  chosen.push_back(static_cast<size_t>(named - tools.names.begin()));
  hold_to_calls(tools, chosen, false, fields);
  return tools;
}

void read_tool_calls(Json& message, const std::string& place, Fields& fields) {
  if (!message.contains("tool_calls")) return;
  Json& calls = message["tool_calls"];
  if (calls.is_null() || (calls.is_array() && calls.empty())) {
    message.erase("tool_calls");  // templates look whether it is there
    return;
  }
  if (!calls.is_array()) return fields.fault(place + ".tool_calls", "expected a list of calls");
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string at = fmt::format("{}.tool_calls[{}]", place, i);
    Json& call = calls[i];
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object() ||
        !call["function"].contains("name") || !call["function"]["name"].is_string())
      return fields.fault(at, "expected an object with a function and its name");
    Json& function = call["function"];
    if (!function.contains("arguments") || function["arguments"] == "")
      function["arguments"] = Json::object();
    if (function["arguments"].is_object()) continue;
    auto parsed =
        function["arguments"].is_string()
            ? parse_object(function["arguments"].get_ref<const std::string&>(), "the text")
            : ApiError{.message = "the value is not a JSON object"};
    if (const auto* error = std::get_if<ApiError>(&parsed))
      return fields.fault(at + ".function.arguments", error->message);
    function["arguments"] = std::get<Json>(std::move(parsed));
  }
}

}  // namespace dspark::serve

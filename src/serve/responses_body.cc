// The body of /v1/responses as a chat's.
#include "serve/as_chat.h"

namespace dspark::serve {
namespace {

const std::vector<std::string> kTexts = {"input_text", "output_text", "text"};

// Whether the item is a call or the result of one.
bool add_call_item(ChatBody& to, const Json& item, const std::string& place) {
  const Json type = item.is_object() ? item.value("type", Json()) : Json();
  if (type != "function_call" && type != "function_call_output") return false;
  const auto text = [&](const char* name) {
    const Json value = item.value(name, Json());
    if (!value.is_string()) to.fields.fault(place + "." + name, "expected a text");
    return value;
  };
  if (type == "function_call_output") {
    to.add_result(text("call_id"),
                  to.text_of(item.value("output", Json()), place + ".output", kTexts));
    return true;
  }
  const Json name = text("name"), id = text("call_id"), written = text("arguments");
  if (to.fields.fault()) return true;
  auto arguments = parse_object(written.get_ref<const std::string&>(), "the text");
  if (const auto* error = std::get_if<ApiError>(&arguments))
    to.fields.fault(place + ".arguments", error->message);
  else
    to.add_call(id, name, std::get<Json>(arguments));
  return true;
}

}  // namespace

std::variant<Job, ApiError> parse_responses(const Json& body, const ModelFacts& model) {
  ChatBody to(body);
  Fields& fields = to.fields;
  to.rename("max_output_tokens", "max_completion_tokens");
  to.rename("service_tier", "service_tier");
  const std::string instructions = fields.text("instructions", "");
  if (!instructions.empty()) to.add("system", instructions);

  const Json* input = fields.take("input");
  if (input == nullptr) {
    fields.fault("input", "missing");
  } else if (input->is_string()) {
    to.add("user", input->get<std::string>());
  } else if (!input->is_array() || input->empty()) {
    fields.fault("input", "expected a text or a list of messages");
  } else {
    for (size_t i = 0; i < input->size(); ++i) {
      const Json& item = (*input)[i];
      const std::string place = fmt::format("input[{}]", i);
      if (add_call_item(to, item, place)) continue;
      if (!item.is_object() || item.value("type", Json("message")) != "message" ||
          !item.contains("role") || !item["role"].is_string() || !item.contains("content")) {
        fields.fault(
            place,
            "expected a message with role and content, a function_call or a function_call_output");
        break;
      }
      std::string role = item["role"].get<std::string>();
      if (role == "developer") role = "system";
      to.add(role, to.text_of(item["content"], place + ".content", kTexts));
    }
  }
  if (const Json* text = fields.take("text")) {
    if (!text->is_object())
      fields.fault("text", "expected an object");
    else if (text->contains("format"))
      to.format((*text)["format"]);
  }
  for (const char* name : {"previous_response_id", "conversation", "prompt"})
    if (fields.take(name)) fields.fault(name, "not supported: nothing is stored here");
  if (fields.boolean("background", false)) fields.fault("background", "not supported");
  if (const Json* list = fields.take("include"); list != nullptr && !list->empty())
    fields.fault("include", "not supported");
  to.add_tools("function", false, "parameters");
  to.call_within(".function", "");
  if (const Json* choice = fields.take("tool_choice")) {
    const bool named = choice->is_object() && choice->value("type", Json()) == "function";
    to.chat["tool_choice"] = !named ? *choice
                                    : Json{{"type", "function"},
                                           {"function", {{"name", choice->value("name", Json())}}}};
  }

  auto parsed = to.parse(Api::kResponses, "input", model);
  if (auto* job = std::get_if<Job>(&parsed)) {
    const auto repeat = [&](const char* name, Json unset) {
      job->repeated[name] = fields.has(name) ? body[name] : std::move(unset);
    };
    repeat("instructions", {});
    repeat("max_output_tokens", {});
    repeat("metadata", Json::object());
    repeat("temperature", 1.0);
    repeat("top_p", 1.0);
    repeat("user", {});
    repeat("text", {{"format", {{"type", "text"}}}});
    repeat("tools", Json::array());
    repeat("tool_choice", "auto");
    repeat("parallel_tool_calls", true);
  }
  return parsed;
}

}  // namespace dspark::serve

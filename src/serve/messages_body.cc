// The body of /v1/messages as a chat's.
#include "serve/as_chat.h"

namespace dspark::serve {
namespace {

// A content of texts, calls (of the assistant) and their results (of the user), which come first.
void add_message(ChatBody& to, const std::string& role, const Json& content,
                 const std::string& place) {
  if (!content.is_array()) return to.add(role, to.text_of(content, place, {"text"}));
  std::string text;
  std::vector<const Json*> calls;
  bool results = false;
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& block = content[i];
    const std::string at = fmt::format("{}[{}]", place, i);
    const Json type = block.is_object() ? block.value("type", Json()) : Json();
    if (type == "tool_use" && role == "assistant") {
      if (!block.value("name", Json()).is_string() || !block.value("input", Json()).is_object())
        return to.fields.fault(at, "expected a name and an object as input");
      calls.push_back(&block);
    } else if (type == "tool_result" && role == "user") {
      results = true;
      to.add_result(block.value("tool_use_id", Json()),
                    to.text_of(block.value("content", Json("")), at + ".content", {"text"}));
    } else {
      text += to.text_of(Json::array({block}), place, {"text"});
    }
  }
  if (!text.empty() || !results) to.add(role, text);
  for (const Json* call : calls)
    to.add_call(call->value("id", Json()), (*call)["name"], (*call)["input"]);
}

void take_choice(ChatBody& to, const Json& choice) {
  const Json type = choice.is_object() ? choice.value("type", Json()) : Json();
  Json& chats = to.chat["tool_choice"];
  if (type == "auto" || type == "none")
    chats = type;
  else if (type == "any")
    chats = "required";
  else if (type == "tool")
    chats = {{"type", "function"}, {"function", {{"name", choice.value("name", Json())}}}};
  else
    return to.fields.fault("tool_choice", "expected an object of the type auto, any, tool or none");
  if (choice.value("disable_parallel_tool_use", Json(false)) == true)
    to.chat["parallel_tool_calls"] = false;
}

}  // namespace

std::variant<Job, ApiError> parse_messages(const Json& body, const ModelFacts& model) {
  ChatBody to(body);
  Fields& fields = to.fields;
  if (!fields.has("max_tokens")) fields.fault("max_tokens", "missing");
  to.rename("max_tokens", "max_completion_tokens");
  to.rename("stop_sequences", "stop");
  if (const Json* system = fields.take("system"))
    to.add("system", to.text_of(*system, "system", {"text"}));

  const Json* messages = fields.take("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    fields.fault("messages", messages == nullptr ? "missing" : "expected a list of messages");
  } else {
    for (size_t i = 0; i < messages->size(); ++i) {
      const Json& message = (*messages)[i];
      const std::string place = fmt::format("messages[{}]", i);
      const Json role = message.is_object() ? message.value("role", Json()) : Json();
      if ((role != "user" && role != "assistant") || !message.contains("content")) {
        fields.fault(place, "expected an object with content and the role user or assistant");
        break;
      }
      add_message(to, role.get<std::string>(), message["content"], place + ".content");
    }
  }
  to.add_tools("custom", true, "input_schema");
  to.call_within(".function.parameters", ".input_schema");
  to.call_within(".function.name", ".name");
  if (const Json* choice = fields.take("tool_choice")) take_choice(to, *choice);
  return to.parse(Api::kMessages, "messages", model);
}

}  // namespace dspark::serve

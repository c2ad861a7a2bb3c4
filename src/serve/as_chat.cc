#include "serve/as_chat.h"

namespace dspark::serve {
namespace {

// A chat's fields that mean the same in all three.
constexpr const char* kShared[] = {
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "logit_bias",
    "ignore_eos",
    "stream",
    "presence_penalty",
    "frequency_penalty",
    "repeat_penalty",
    "repetition_penalty",
    "chat_template_kwargs",
    "speculation",
    "grammar",
    "parallel_tool_calls",
};

}  // namespace

ChatBody::ChatBody(const Json& body) : fields(body) {
  chat["messages"] = Json::array();
  for (const char* name : kShared)
    if (const Json* value = fields.take(name)) chat[name] = *value;
}

void ChatBody::rename(const char* name, const char* as) {
  names_[as] = name;
  if (const Json* value = fields.take(name)) chat[as] = *value;
}

std::string ChatBody::text_of(const Json& content, const std::string& place,
                              const std::vector<std::string>& types) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return fields.fault(place, "expected a text or a list of parts"), "";
  std::string text;
  for (const Json& part : content) {
    const bool fits = part.is_object() && part.contains("type") && part["type"].is_string() &&
                      part.contains("text") && part["text"].is_string() &&
                      std::find(types.begin(), types.end(), part["type"]) != types.end();
    if (!fits)
      return fields.fault(place, fmt::format("expected parts of type {} with a text",
                                             fmt::join(types, " or "))),
             "";
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

void ChatBody::format(Json format) {
  names_["response_format"] = names_["response_format.json_schema"] = "text.format";
  const Json type = format.is_object() ? format.value("type", Json()) : Json();
  if (type == "json_schema") {
    format.erase("type");
    format = {{"type", type}, {"json_schema", std::move(format)}};
  }
  chat["response_format"] = std::move(format);
}

void ChatBody::add(const std::string& role, const std::string& text) {
  chat["messages"].push_back({{"role", role}, {"content", text}});
}

void ChatBody::add_call(const Json& id, const Json& name, const Json& arguments) {
  Json& messages = chat["messages"];
  if (messages.empty() || messages.back()["role"] != "assistant") add("assistant", "");
  Json call = {{"id", id}, {"type", "function"}};
  call["function"] = {{"name", name}, {"arguments", arguments}};
  messages.back()["tool_calls"].push_back(std::move(call));
}

void ChatBody::add_result(const Json& id, const std::string& text) {
  chat["messages"].push_back({{"role", "tool"}, {"tool_call_id", id}, {"content", text}});
}

void ChatBody::add_tools(const char* type, bool optional, const char* schema) {
  const Json* tools = fields.take("tools");
  if (tools == nullptr) return;
  if (!tools->is_array()) return fields.fault("tools", "expected a list of tools");
  for (size_t i = 0; i < tools->size(); ++i) {
    const Json& tool = (*tools)[i];
    if (!tool.is_object() || tool.value("type", optional ? Json(type) : Json()) != type)
      return fields.fault(fmt::format("tools[{}]", i), "only functions are supported");
    Json function = Json::object();
    for (const auto& [own, chats] :
         {std::pair("name", "name"), {"description", "description"}, {schema, "parameters"}})
      if (tool.contains(own)) function[chats] = tool[own];
    chat["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
  }
}

std::variant<Job, ApiError> ChatBody::parse(Api api, const char* messages,
                                            const ModelFacts& model) {
  for (const char* name : {"model", "user", "store", "metadata"}) fields.take(name);
  if (fields.fault()) return *fields.fault();
  auto parsed = parse_chat(chat, model);
  if (auto* job = std::get_if<Job>(&parsed)) {
    job->api = api;
    job->ignored = fields.unknown();
    return parsed;
  }
  auto& error = std::get<ApiError>(parsed);
  const std::string chats = error.param;
  names_["messages"] = messages;
  for (auto named = names_.rbegin(); named != names_.rend(); ++named)  // the longest first
    if (error.param.starts_with(named->first)) {
      error.param.replace(0, named->first.size(), named->second);
      break;
    }
  for (const auto& [part, own] : parts_)
    if (const size_t at = error.param.find(part); at != error.param.npos)
      error.param.replace(at, part.size(), own);
  if (error.message.starts_with(chats)) error.message.replace(0, chats.size(), error.param);
  return parsed;
}

}  // namespace dspark::serve

// The bodies of /v1/responses and /v1/messages as bodies of /v1/chat/completions: so each setting
// is read in one place.
#include <map>

#include "serve/api_request.h"

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
};

class ChatBody {
 public:
  explicit ChatBody(const Json& body) : fields(body) {
    chat["messages"] = Json::array();
    for (const char* name : kShared)
      if (const Json* value = fields.take(name)) chat[name] = *value;
  }

  // The field `name` as the chat's `as`.
  void rename(const char* name, const char* as) {
    names_[as] = name;
    if (const Json* value = fields.take(name)) chat[as] = *value;
  }

  // A text, or a list of parts of one of these types, whose texts become one.
  std::string text_of(const Json& content, const std::string& place,
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

  // A responses' text.format: a schema lies in it, where a chat has it one level deeper.
  void format(Json format) {
    names_["response_format"] = names_["response_format.json_schema"] = "text.format";
    const Json type = format.is_object() ? format.value("type", Json()) : Json();
    if (type == "json_schema") {
      format.erase("type");
      format = {{"type", type}, {"json_schema", std::move(format)}};
    }
    chat["response_format"] = std::move(format);
  }

  void add(const std::string& role, const std::string& text) {
    chat["messages"].push_back({{"role", role}, {"content", text}});
  }

  // Faults name the fields of this body, not those of the chat.
  std::variant<Job, ApiError> parse(Api api, const char* messages, const ModelFacts& model) {
    for (const char* name : {"model", "user", "store", "metadata"}) fields.take(name);
    if (fields.fault()) return *fields.fault();
    auto parsed = parse_chat(chat, model);
    if (auto* job = std::get_if<Job>(&parsed)) {
      job->api = api;
      job->ignored = fields.unknown();
      return parsed;
    }
    auto& error = std::get<ApiError>(parsed);
    names_["messages"] = messages;
    for (auto named = names_.rbegin(); named != names_.rend(); ++named)  // the longest first
      if (const auto& [chats, own] = *named; error.param.starts_with(chats)) {
        if (error.message.starts_with(chats)) error.message.replace(0, chats.size(), own);
        error.param.replace(0, chats.size(), own);
        break;
      }
    return parsed;
  }

  Fields fields;
  Json chat;

 private:
  std::map<std::string, std::string> names_;  // the chat's to this body's
};

}  // namespace

std::variant<Job, ApiError> parse_responses(const Json& body, const ModelFacts& model) {
  ChatBody to(body);
  Fields& fields = to.fields;
  to.rename("max_output_tokens", "max_completion_tokens");
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
      if (!item.is_object() || item.value("type", Json("message")) != "message" ||
          !item.contains("role") || !item["role"].is_string() || !item.contains("content")) {
        fields.fault(place, "expected a message with role and content");
        break;
      }
      std::string role = item["role"].get<std::string>();
      if (role == "developer") role = "system";
      to.add(role, to.text_of(item["content"], place + ".content",
                              {"input_text", "output_text", "text"}));
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
  for (const char* name : {"tools", "include"})
    if (const Json* list = fields.take(name); list != nullptr && !list->empty())
      fields.fault(name, "not supported");

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
  }
  return parsed;
}

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
      to.add(role.get<std::string>(), to.text_of(message["content"], place + ".content", {"text"}));
    }
  }
  if (const Json* tools = fields.take("tools"); tools != nullptr && !tools->empty())
    fields.fault("tools", "not supported");
  return to.parse(Api::kMessages, "messages", model);
}

}  // namespace dspark::serve

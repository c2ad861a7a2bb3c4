// The body of a chat, made of another API's: so each setting is read in one place. Private to the
// room serve.
#pragma once

#include <map>

#include "serve/api_request.h"

namespace dspark::serve {

class ChatBody {
 public:
  // Takes the fields that mean the same in all of them.
  explicit ChatBody(const Json& body);

  // The field `name` as the chat's `as`.
  void rename(const char* name, const char* as);
  // In faults' names: `own` where the chat's has `chats`.
  void call_within(const char* chats, const char* own) { parts_[chats] = own; }
  // A text, or a list of parts of one of these types, whose texts become one.
  std::string text_of(const Json& content, const std::string& place,
                      const std::vector<std::string>& types);
  // A responses' text.format: a schema lies in it, where a chat has it one level deeper.
  void format(Json format);
  // The next message.
  void add(const std::string& role, const std::string& text);
  // A call in the assistant's message, the last or a new one.
  void add_call(const Json& id, const Json& name, const Json& arguments);
  void add_result(const Json& id, const std::string& text);
  // Tools that hold a function's fields themselves, its schema as `schema`; other types than
  // `type`, which may be left out where it is optional, are no functions.
  void add_tools(const char* type, bool optional, const char* schema);
  // Faults name the fields of this body, not those of the chat; messages: its field of them.
  std::variant<Job, ApiError> parse(Api api, const char* messages, const ModelFacts& model);

  Fields fields;
  Json chat;

 private:
  std::map<std::string, std::string> names_;  // the chat's to this body's
  std::map<std::string, std::string> parts_;
};

}  // namespace dspark::serve

// A line of JSON from outside, and what rows hold. Private to the room learn.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>
#include <vector>

#include "learn/corpus_row.h"

namespace dspark::learn {

// Every message begins with `place` ("corpus.jsonl:3") and says what was expected.
class JsonLine {
 public:
  // The object of a line; it lives until the next call.
  Result<simdjson::dom::object> object(std::string_view line, const std::string& place);

 private:
  simdjson::dom::parser parser_;
};

// For messages: "a string", "an object", ...
const char* kind_of(const simdjson::dom::element& value);

// The key's value, or an error that says what it should be.
Result<simdjson::dom::element> member(const simdjson::dom::object& object, std::string_view key,
                                      const char* expected, const std::string& place);

// "id": a string or a whole number, as text; the line's number where it is absent.
Result<std::string> id_of(const simdjson::dom::object& object, size_t line,
                          const std::string& place);

// "conversations": [{"role", "content"}, ...], not empty; system, user and assistant, and the names
// that ShareGPT has for them.
Result<std::vector<Message>> conversation_of(const simdjson::dom::element& value,
                                             const std::string& place);

}  // namespace dspark::learn

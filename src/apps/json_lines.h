// JSON Lines, in and out. Only LF ends a line: strings may hold U+0085 and U+2028 unescaped.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace dspark::apps {

using Json = nlohmann::ordered_json;  // keeps the order of keys

// One line of JSON, without LF; invalid UTF-8 in strings becomes U+FFFD.
std::string to_line(const Json& value);

// The JSON object of a line. `place` ("prompts.jsonl:3") begins every message.
Result<Json> parse_object(std::string_view line, const std::string& place);

// object[key] as the named type; the message says place, key, wanted and found.
Result<std::string> string_at(const Json& object, const char* key, const std::string& place);
Result<std::vector<int32_t>> ids_at(const Json& object, const char* key, const std::string& place);

// Token ids: whole numbers from 0 to 2^31 - 1.
Result<std::vector<int32_t>> to_ids(const Json& value, const char* key, const std::string& place);

// Calls `answer` with every line of `text` that is not blank, and its number from 1.
Status for_each_line(std::string_view text,
                     const std::function<Status(std::string_view line, size_t number)>& answer);

// For every line of stdin that is not blank: an object in, an object out on stdout. Stops at the
// first error, which names the line. Gives the exit code.
int answer_stdin(
    const std::function<Result<Json>(const Json& object, const std::string& place)>& answer);

}  // namespace dspark::apps

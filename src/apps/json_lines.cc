#include "apps/json_lines.h"

#include <cstdio>
#include <iostream>
#include <limits>

#include "apps/command.h"

namespace dspark::apps {
namespace {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

std::string to_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Json> parse_object(std::string_view line, const std::string& place) {
  Json value;
  try {
    value = Json::parse(line.begin(), line.end());
  } catch (const nlohmann::json::parse_error& error) {
    return fail("{}: not valid JSON, at byte {}", place, error.byte);
  } catch (const nlohmann::json::exception& error) {  // a number beyond double
    return fail("{}: not valid JSON: {}", place, error.what());
  }
  if (!value.is_object()) return fail("{}: expected an object, found {}", place, value.type_name());
  return value;
}

Result<std::string> string_at(const Json& object, const char* key, const std::string& place) {
  const auto it = object.find(key);
  if (it == object.end()) return fail("{}: the key \"{}\" is missing", place, key);
  if (!it->is_string())
    return fail("{}: \"{}\": expected a string, found {}", place, key, it->type_name());
  return it->get<std::string>();
}

Result<std::vector<int32_t>> ids_at(const Json& object, const char* key, const std::string& place) {
  const auto it = object.find(key);
  if (it == object.end()) return fail("{}: the key \"{}\" is missing", place, key);
  return to_ids(*it, key, place);
}

Result<std::vector<int32_t>> to_ids(const Json& value, const char* key, const std::string& place) {
  if (!value.is_array())
    return fail("{}: \"{}\": expected an array of token ids, found {}", place, key,
                value.type_name());
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (const Json& item : value) {
    const bool valid = item.is_number_integer() &&
                       (item.is_number_unsigned() || item.get<int64_t>() >= 0) &&
                       item.get<uint64_t>() <= std::numeric_limits<int32_t>::max();
    if (!valid)
      return fail("{}: \"{}\"[{}]: expected a token id, found {}", place, key, ids.size(),
                  item.is_number() ? item.dump() : item.type_name());
    ids.push_back(static_cast<int32_t>(item.get<uint64_t>()));
  }
  return ids;
}

Status for_each_line(std::string_view text,
                     const std::function<Status(std::string_view line, size_t number)>& answer) {
  for (size_t begin = 0, number = 1; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!is_blank(line)) DSPARK_RETURN_IF_ERROR(answer(line, number));
  }
  return {};
}

int answer_stdin(
    const std::function<Result<Json>(const Json& object, const std::string& place)>& answer) {
  std::ios::sync_with_stdio(false);
  std::string line;
  for (size_t number = 1; std::getline(std::cin, line); ++number) {
    if (is_blank(line)) continue;
    const std::string place = fmt::format("standard input, line {}", number);
    auto object = parse_object(line, place);
    if (!object) return report(kFailure, object.message());
    auto result = answer(*object, place);
    if (!result) return report(kFailure, result.message());
    if (auto written = write_stdout(to_line(*result) + "\n"); !written)
      return report(kFailure, written.message());
  }
  if (std::cin.bad()) return report(kFailure, "standard input: cannot read");
  return kSuccess;
}

}  // namespace dspark::apps

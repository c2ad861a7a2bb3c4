#include "apps/prompt_file.h"

namespace dspark::apps {
namespace {

constexpr size_t kMaxFileBytes = size_t{4} << 30;

Result<std::vector<std::string>> turns_of(const Json& value, const std::string& place) {
  if (!value.is_array() || value.empty())
    return fail("{}: \"turns\": expected a non-empty array of strings, found {}", place,
                value.is_array() ? "an empty array" : value.type_name());
  std::vector<std::string> turns;
  for (const Json& turn : value) {
    if (!turn.is_string())
      return fail("{}: \"turns\"[{}]: expected a string, found {}", place, turns.size(),
                  turn.type_name());
    turns.push_back(turn.get<std::string>());
  }
  return turns;
}

Result<PromptRow> row_of(const Json& object, const std::string& place, size_t line) {
  PromptRow row;
  row.id = object.value("id", Json(line));
  if (!row.id.is_string() && !row.id.is_number_integer())
    return fail("{}: \"id\": expected a string or a whole number, found {}", place,
                row.id.type_name());
  const auto turns = object.find("turns");
  const auto ids = object.find("ids");
  if ((turns == object.end()) == (ids == object.end()))
    return fail(
        "{}: expected either \"turns\" (an array of strings) or \"ids\" (an array of token ids)",
        place);
  if (turns != object.end()) {
    DSPARK_TRY(row.turns, turns_of(*turns, place));
  } else {
    DSPARK_TRY(row.ids, to_ids(*ids, "ids", place));
    if (row.ids.empty()) return fail("{}: \"ids\": expected at least one token id", place);
  }
  return row;
}

}  // namespace

Result<std::vector<PromptRow>> read_prompt_file(const std::filesystem::path& file) {
  DSPARK_TRY(const std::string text, read_file(file, kMaxFileBytes));
  std::vector<PromptRow> rows;
  DSPARK_RETURN_IF_ERROR(for_each_line(text, [&](std::string_view line, size_t number) -> Status {
    const std::string place = fmt::format("{}:{}", file.string(), number);
    DSPARK_TRY(const Json object, parse_object(line, place));
    DSPARK_TRY(PromptRow row, row_of(object, place, number));
    rows.push_back(std::move(row));
    return {};
  }));
  if (rows.empty()) return fail("{}: expected at least one row, found none", file.string());
  return rows;
}

}  // namespace dspark::apps

#include "learn/prompts.h"

#include <xxhash.h>

#include <unordered_map>

#include "learn/digest.h"
#include "learn/json_line.h"
#include "learn/line_reader.h"

namespace dspark::learn {
namespace {

using simdjson::dom::element;

Result<std::vector<std::string>> turns_of(const simdjson::dom::object& row,
                                          const std::string& place) {
  std::vector<std::string> turns;
  element value;
  if (row.at_key("conversations").get(value) == simdjson::SUCCESS) {
    DSPARK_TRY(auto messages, conversation_of(value, place));
    for (Message& message : messages)
      if (message.role == "user") turns.push_back(std::move(message.content));
    if (turns.empty())
      return fail("{}: \"conversations\": expected a turn of the user, found none", place);
    return turns;
  }
  DSPARK_TRY(value, member(row, "turns", "an array of strings", place));
  simdjson::dom::array items;
  if (value.get(items) != simdjson::SUCCESS)
    return fail("{}: \"turns\": expected an array of strings, found {}", place, kind_of(value));
  for (const element item : items) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS)
      return fail("{}: \"turns\"[{}]: expected a string, found {}", place, turns.size(),
                  kind_of(item));
    turns.emplace_back(text);
  }
  if (turns.empty()) return fail("{}: \"turns\": expected at least one string", place);
  return turns;
}

}  // namespace

Result<PromptSet> read_prompts(const std::filesystem::path& file, bool strict) {
  DSPARK_TRY(LineReader lines, LineReader::open(file));
  PromptSet set;
  Digest digest;
  JsonLine json;
  std::unordered_map<std::string, size_t> seen;  // id to line
  const auto read_row = [&]() -> Result<Prompt> {
    const std::string place = lines.place();
    if (lines.too_long()) return fail("{}: longer than {} bytes", place, kMaxRowBytes);
    DSPARK_TRY(const auto row, json.object(lines.text(), place));
    Prompt prompt;
    prompt.line = lines.number();
    DSPARK_TRY(prompt.id, id_of(row, lines.number(), place));
    DSPARK_TRY(prompt.turns, turns_of(row, place));
    const auto [at, is_new] = seen.emplace(prompt.id, prompt.line);
    if (!is_new)
      return fail("{}: \"id\": expected one that is used once, '{:.80}' is that of line {}", place,
                  prompt.id, at->second);
    return prompt;
  };
  for (;;) {
    DSPARK_TRY(const bool more, lines.next());
    if (!more) break;
    digest.add(lines.text());
    digest.add("\n");
    if (lines.blank()) continue;
    auto prompt = read_row();
    if (prompt)
      set.rows.push_back(prompt.take());
    else if (strict)
      return prompt.error();
    else
      set.faults.add(prompt.message());
  }
  if (set.rows.empty())
    return fail("{}: expected at least one row of prompts, found {}", file.string(),
                set.faults.count == 0 ? "none" : set.faults.first.front());
  set.digest = digest.text();
  return set;
}

uint64_t row_hash(uint64_t seed, std::string_view id) {
  return XXH3_64bits_withSeed(id.data(), id.size(), seed);
}

}  // namespace dspark::learn

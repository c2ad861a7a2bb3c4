#include "learn/corpus_row.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "learn/json_line.h"

namespace dspark::learn {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();

Result<std::vector<int32_t>> ids_of(const element& value, const std::string& place) {
  array items;
  if (value.get(items) != simdjson::SUCCESS)
    return fail("{}: \"ids\": expected an array of token ids, found {}", place, kind_of(value));
  std::vector<int32_t> ids;
  for (const element item : items) {
    int64_t id = -1;
    if (item.get(id) != simdjson::SUCCESS || id < 0 || id > kMaxId)
      return fail("{}: \"ids\"[{}]: expected a token id, found {}", place, ids.size(),
                  simdjson::minify(item).substr(0, 40));
    ids.push_back(static_cast<int32_t>(id));
  }
  if (ids.empty()) return fail("{}: \"ids\": expected at least one token id", place);
  return ids;
}

Result<std::vector<TokenRange>> loss_of(const object& row, size_t tokens,
                                        const std::string& place) {
  DSPARK_TRY(const element value, member(row, "loss", "an array of [begin, end]", place));
  array items;
  if (value.get(items) != simdjson::SUCCESS)
    return fail("{}: \"loss\": expected an array of [begin, end], found {}", place, kind_of(value));
  std::vector<TokenRange> loss;
  int64_t last = 0;
  for (const element item : items) {
    array pair;
    int64_t begin = -1, end = -1;
    const bool two = item.get(pair) == simdjson::SUCCESS && pair.size() == 2 &&
                     pair.at(0).get(begin) == simdjson::SUCCESS &&
                     pair.at(1).get(end) == simdjson::SUCCESS;
    if (!two || begin < last || end <= begin || end > static_cast<int64_t>(tokens))
      return fail("{}: \"loss\"[{}]: expected [begin, end] with {} <= begin < end <= {}, found {}",
                  place, loss.size(), last, tokens, simdjson::minify(item).substr(0, 40));
    loss.push_back({static_cast<int32_t>(begin), static_cast<int32_t>(end)});
    last = end;
  }
  return loss;
}

}  // namespace

std::string to_line(const CorpusRow& row) {
  using Json = nlohmann::ordered_json;
  Json messages = Json::array();
  for (const Message& message : row.conversations)
    messages.push_back({{"role", message.role}, {"content", message.content}});
  Json json = {{"id", row.id}};
  if (!row.conversations.empty()) json["conversations"] = std::move(messages);
  json["status"] = "success";
  json["temperature"] = row.temperature;
  json["seed"] = row.seed;
  json["finish"] = row.finish;
  if (!row.ids.empty()) {
    json["ids"] = row.ids;
    Json loss = Json::array();
    for (const TokenRange& range : row.loss) loss.push_back({range.begin, range.end});
    json["loss"] = std::move(loss);
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<CorpusRow> parse_corpus_row(std::string_view line, size_t number, const std::string& place) {
  static thread_local JsonLine json;  // its buffers are kept
  DSPARK_TRY(const object found, json.object(line, place));
  CorpusRow row;
  DSPARK_TRY(row.id, id_of(found, number, place));
  element value;
  std::string_view text;
  if (found.at_key("status").get(text) == simdjson::SUCCESS && text != "success")
    return fail("{}: \"status\": expected success, found '{:.40}'", place, text);
  const bool has_ids = found.at_key("ids").get(value) == simdjson::SUCCESS;
  if (has_ids) {
    DSPARK_TRY(row.ids, ids_of(value, place));
    DSPARK_TRY(row.loss, loss_of(found, row.ids.size(), place));
  }
  if (!has_ids || found.at_key("conversations").error() == simdjson::SUCCESS) {
    DSPARK_TRY(value, member(found, "conversations", "an array of turns (or \"ids\")", place));
    DSPARK_TRY(row.conversations, conversation_of(value, place));
  }
  if (double temperature = 0; found.at_key("temperature").get(temperature) == simdjson::SUCCESS)
    row.temperature = temperature;
  if (uint64_t seed = 0; found.at_key("seed").get(seed) == simdjson::SUCCESS) row.seed = seed;
  if (found.at_key("finish").get(text) == simdjson::SUCCESS) row.finish = text;
  return row;
}

}  // namespace dspark::learn

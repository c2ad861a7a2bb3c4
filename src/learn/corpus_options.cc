#include "learn/corpus_options.h"

#include <string>
#include <vector>

namespace dspark::learn {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr size_t kMaxBytes = size_t{1} << 20;

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= 100 ? text : text.substr(0, 97) + "...";
}

std::string differences(const Json& stored, const Json& now) {
  std::vector<std::string> found;
  for (const auto& [key, value] : now.items()) {
    if (!stored.contains(key))
      found.push_back(fmt::format("{} was not given, now {}", key, shown(value)));
    else if (stored[key] != value)
      found.push_back(fmt::format("{} was {}, now {}", key, shown(stored[key]), shown(value)));
  }
  for (const auto& [key, value] : stored.items())
    if (!now.contains(key))
      found.push_back(fmt::format("{} was {}, now not given", key, shown(value)));
  return fmt::format("{}", fmt::join(found, "; "));
}

}  // namespace

std::filesystem::path corpus_options_path(const std::filesystem::path& corpus) {
  return corpus.string() + ".meta.json";
}

Status settle_corpus_options(const std::filesystem::path& corpus, const Json& options,
                             bool has_rows) {
  const std::filesystem::path path = corpus_options_path(corpus);
  if (!has_rows) {
    const Json json = {{"format", "dspark corpus"}, {"version", kVersion}, {"options", options}};
    return write_file_atomically(path,
                                 json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  auto text = read_file(path, kMaxBytes);
  if (!text)
    return fail("{}; without it nobody knows what the rows of {} were made with: give another name",
                text.message(), corpus.string());
  const Json stored = Json::parse(*text, nullptr, false);
  if (!stored.is_object() || stored.value("version", Json()) != kVersion ||
      !stored.contains("options") || !stored["options"].is_object())
    return fail("{}: expected an object with \"version\" {} and \"options\"", path.string(),
                kVersion);
  if (const std::string found = differences(stored["options"], options); !found.empty())
    return fail("{}: was made with other options: {}; give another name, or the same options",
                corpus.string(), found);
  return {};
}

}  // namespace dspark::learn

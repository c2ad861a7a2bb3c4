#include "apps/content_hash.h"

#include <algorithm>
#include <vector>

#include "apps/info_text.h"
#include "apps/json_lines.h"
#include "learn/learn.h"

namespace dspark::apps {
namespace {

namespace fs = std::filesystem;

bool is_part_of_model(const fs::path& file) {
  constexpr std::string_view kNames[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                         "chat_template.jinja", "generation_config.json"};
  return file.extension() == ".safetensors" ||
         std::find(std::begin(kNames), std::end(kNames), file.filename().string()) !=
             std::end(kNames);
}

}  // namespace

std::string hash_of(std::string_view bytes) {
  learn::Digest digest;
  digest.add(bytes);
  return digest.text();
}

Result<std::string> hash_of_file(const fs::path& file) {
  DSPARK_TRY(const MappedFile map, MappedFile::open(file));
  return hash_of({reinterpret_cast<const char*>(map.data()), map.size()});
}

Result<std::string> hash_of_model(const fs::path& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) return hash_of_file(model);
  std::vector<fs::path> files;
  for (fs::directory_iterator at(model, error), end; !error && at != end; at.increment(error))
    if (is_part_of_model(at->path())) files.push_back(at->path());
  if (error) return fail("{}: cannot list it: {}", model.string(), error.message());
  std::sort(files.begin(), files.end());
  std::string all;
  for (const fs::path& file : files) {
    DSPARK_TRY(const std::string hash, hash_of_file(file));
    all += fmt::format("{} {}\n", file.filename().string(), hash);
  }
  return hash_of(all);
}

std::string name_of(const fs::path& path) {
  const Json name = (path.has_filename() ? path : path.parent_path()).filename().string();
  return printable(Json::parse(to_line(name)).get<std::string>());  // UTF-8, whatever it was
}

}  // namespace dspark::apps

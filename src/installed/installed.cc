#include "installed/installed.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace dspark {
namespace {

namespace fs = std::filesystem;

fs::path cache_directory(const char* what) {
  const fs::path cache = user_directory("XDG_CACHE_HOME", ".cache");
  return cache.empty() ? cache : cache / what;
}
fs::path models_directory() { return cache_directory("models"); }

// A file of the package that the running program came in; empty where there is none.
fs::path packaged(const char* path) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path file = program.parent_path().parent_path() / path;
  return !error && fs::exists(file, error) ? file : fs::path();
}

// The user's own first, then those of the package.
std::vector<fs::path> drafter_directories() {
  std::vector<fs::path> found;
  for (fs::path directory : {cache_directory("drafters"), packaged("share/dspark/drafters")})
    if (!directory.empty()) found.push_back(std::move(directory));
  return found;
}
// Empty where none bears the name.
std::string drafter_file(const std::string& name) {
  std::error_code error;
  for (const fs::path& directory : drafter_directories())
    if (const fs::path file = directory / (name + ".gguf"); fs::exists(file, error))
      return file.string();
  return {};
}

// The one GGUF file of an installed model.
std::optional<fs::path> installed_file(const fs::path& directory) {
  std::optional<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->path().extension() != ".gguf" || !it->is_regular_file(ignored)) continue;
    if (found) return std::nullopt;
    found = it->path();
  }
  return found;
}

bool is_name(const std::string& given) {
  return !given.empty() && given.find('/') == std::string::npos && !given.ends_with(".gguf") &&
         !given.ends_with(".safetensors") && given != "." && given != "..";
}

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

fs::path user_directory(const char* variable, const char* fallback) {
  const char* set = std::getenv(variable);
  if (set != nullptr && fs::path(set).is_absolute()) return fs::path(set) / "dspark";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return fs::path(home) / fallback / "dspark";
}

std::vector<std::string> installed_models() {
  std::vector<std::string> names;
  std::error_code error;
  const fs::path directory = models_directory();
  if (directory.empty()) return names;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (installed_file(it->path())) names.push_back(it->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Result<fs::path> find_model(const std::string& given) {
  if (exists(given)) return fs::path(given);
  if (!is_name(given)) return fail("{}: no such file or directory", given);
  const fs::path models = models_directory();
  if (models.empty()) return fail("the model {} can't be looked up: HOME is not set", given);
  if (auto file = installed_file(models / given)) return *file;
  if (exists((models / given).string()))
    return fail("{}: expected exactly one .gguf file; `./setup run` installs the model again",
                (models / given).string());
  const fs::path fetch = packaged("libexec/dspark/fetch_model.py");
  return fail(
      "the model {} is not installed ({} is missing); `{}` fetches it, or name a "
      "GGUF file or a Hugging Face directory",
      given, (models / given).string(), fetch.empty() ? "./setup run" : fetch.string());
}

std::vector<std::string> installed_drafters() {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::path& directory : drafter_directories())
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
      if (it->path().extension() == ".gguf") names.push_back(it->path().stem().string());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::string> find_drafter(const std::string& given) {
  if (given.ends_with(kLookupSuffix) && !exists(given)) {
    DSPARK_TRY(const std::string found,
               find_drafter(given.substr(0, given.size() - kLookupSuffix.size())));
    if (found == "none" || found == "ngram")
      return fail("{}: expected a trained drafter before {}", given, kLookupSuffix);
    return found + std::string(kLookupSuffix);
  }
  if (given == "none" || given == "ngram" || exists(given)) return given;
  if (is_name(given))
    if (std::string file = drafter_file(given); !file.empty()) return file;
  std::vector<std::string> names = installed_drafters();
  names.insert(names.end(), {"ngram", "none"});
  return fail("no file, directory or installed drafter is called '{}'; the nearest name is {}",
              given, nearest_word(given, names));
}

std::string drafter_of(const std::string& given_model) {
  if (exists(given_model) || !is_name(given_model)) return {};
  const std::string file = drafter_file(given_model);
  return file.empty() ? file : file + std::string(kLookupSuffix);
}

std::string check_model_name(const std::string& given) {
  if (exists(given) || !is_name(given) || given == kDefaultModel) return {};
  std::vector<std::string> names = installed_models();
  if (std::find(names.begin(), names.end(), given) != names.end()) return {};
  if (std::find(names.begin(), names.end(), kDefaultModel) == names.end())
    names.insert(names.begin(), kDefaultModel);
  return fmt::format("no file, directory or installed model is called '{}'; the nearest name is {}",
                     given, nearest_word(given, names));
}

}  // namespace dspark

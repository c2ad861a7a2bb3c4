#include "train/run_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace dspark::train {

namespace fs = std::filesystem;

Status RunFiles::begin(const std::string& recipe, bool fresh) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return fail("{}: cannot make the folder: {}", folder_.string(), error.message());
  const fs::path file = folder_ / "recipe.toml";
  if (!fs::exists(file)) return {};
  if (fresh) return fail("{}: a run is there already", folder_.string());
  DSPARK_TRY(const std::string stored, read_file(file, size_t{1} << 20));
  if (stored != recipe)
    return fail("{}: the run there has another recipe: give another folder", folder_.string());
  return {};
}

Status RunFiles::claim(const std::string& recipe) {
  return write_file_atomically(folder_ / "recipe.toml", recipe);
}

Status RunFiles::cut_metrics(int64_t steps) {
  for (const char* name : {"metrics.jsonl", "timing.jsonl"}) {
    const fs::path file = folder_ / name;
    if (!fs::exists(file)) continue;
    std::ifstream in(file);
    std::string kept, line;
    while (std::getline(in, line)) {
      const auto row = nlohmann::json::parse(line, nullptr, false);
      if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer()) continue;
      if (row["step"].get<int64_t>() <= steps) kept += line + "\n";
    }
    DSPARK_RETURN_IF_ERROR(write_file_atomically(file, kept));
  }
  return {};
}

Status RunFiles::append(const fs::path& file, const nlohmann::ordered_json& row) {
  const std::string line = row.dump() + "\n";
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const bool written =
      fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int fault = errno;
  if (fd >= 0) ::close(fd);
  if (!written) return fail("{}: cannot write: {}", file.string(), std::strerror(fault));
  return {};
}

Status RunFiles::add_metrics(const nlohmann::ordered_json& row) { return append(metrics(), row); }
Status RunFiles::add_timing(const nlohmann::ordered_json& row) {
  return append(folder_ / "timing.jsonl", row);
}

Status RunFiles::check_space(const fs::path& file, double bytes) {
  std::error_code error;
  const double there = fs::exists(file) ? static_cast<double>(fs::file_size(file, error)) : 0;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const fs::space_info space = fs::space(folder, error);
  constexpr double kGb = 1e9;
  log_info("features: {:.1f} GB in {}", bytes / kGb, file.string());
  if (!error && bytes - there > static_cast<double>(space.available))
    return fail(
        "{}: {:.1f} GB of features are missing and the disk has {:.1f} GB left: fewer rows "
        "(data.rows), run.feature_bits = 8, or run.features = \"fly\"",
        file.string(), (bytes - there) / kGb, static_cast<double>(space.available) / kGb);
  return {};
}

}  // namespace dspark::train

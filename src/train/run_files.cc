#include "train/run_files.h"

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

Status RunFiles::add_metrics(const nlohmann::ordered_json& row) {
  return append_to_file(metrics(), row.dump() + "\n");
}
Status RunFiles::add_timing(const nlohmann::ordered_json& row) {
  return append_to_file(folder_ / "timing.jsonl", row.dump() + "\n");
}

Status RunFiles::check_space(const fs::path& file, double bytes) {
  std::error_code error;
  const double there = fs::exists(file) ? static_cast<double>(fs::file_size(file, error)) : 0;
  const auto space = free_bytes(file);
  constexpr double kGb = 1e9;
  log_info("features: {:.1f} GB in {}", bytes / kGb, file.string());
  if (space && bytes - there > static_cast<double>(*space))
    return fail(
        "{}: {:.1f} GB of features are missing and the disk has {:.1f} GB left: fewer rows "
        "(data.rows), run.feature_bits = 8, or run.features = \"fly\"",
        file.string(), (bytes - there) / kGb, static_cast<double>(*space) / kGb);
  return {};
}

}  // namespace dspark::train

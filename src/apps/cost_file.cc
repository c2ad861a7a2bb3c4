#include "apps/cost_file.h"

#include <cmath>

#include "apps/bench.h"
#include "apps/content_hash.h"
#include "draft/draft.h"
#include "installed/installed.h"

namespace dspark::apps {
namespace {

namespace fs = std::filesystem;
static_assert(kLookupSuffix == draft::kLookup);
constexpr size_t kMostCostBytes = size_t{1} << 20;

// A file's name, size and time of change; a directory's newest.
Json identity(const fs::path& path) {
  std::error_code ignored;
  uintmax_t bytes = 0;
  int64_t changed = 0;
  const auto add = [&](const fs::path& file) {
    const uintmax_t size = fs::file_size(file, ignored);
    bytes += ignored ? 0 : size;
    const auto time = fs::last_write_time(file, ignored);
    if (!ignored) changed = std::max<int64_t>(changed, time.time_since_epoch().count());
  };
  if (fs::is_directory(path, ignored)) {
    for (const auto& entry : fs::directory_iterator(path, ignored)) add(entry.path());
  } else if (fs::exists(path, ignored)) {
    add(path);
  }
  return {{"name", name_of(path)}, {"bytes", bytes}, {"changed", changed}};
}

bool read_curve(const Json& json, const char* key, std::vector<verify::CostCurve::Point>& points) {
  if (!json.contains(key) || !json[key].is_array()) return false;
  for (const Json& pair : json[key]) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_integer() ||
        !pair[1].is_number())
      return false;
    const verify::CostCurve::Point point{pair[0].get<int>(), pair[1].get<double>()};
    if (point.count < 1 || !(point.ms > 0) || !std::isfinite(point.ms) ||
        (!points.empty() && point.count <= points.back().count))
      return false;
    points.push_back(point);
  }
  return true;
}

}  // namespace

Json curve_json(const std::vector<verify::CostCurve::Point>& points) {
  Json list = Json::array();
  for (const auto& point : points) list.push_back({point.count, point.ms});
  return list;
}

Json cost_key(const fs::path& model, const engine::Options& options) {
  // What is looked up costs nothing: the drafter alone counts.
  const std::string_view drafter = draft::without_lookup(options.drafter);
  return {{"cpu", cpu_name()},
          {"cpus", available_cpus()},
          {"threads", options.threads},
          {"isa", options.isa},
          {"quantize",
           options.quantise ? std::string(dtype_info(*options.quantise).name) : std::string()},
          {"model", identity(model)},
          {"drafter", identity(drafter)},
          {"version", DSPARK_VERSION},
          {"program", identity("/proc/self/exe")}};
}

fs::path cost_file(const Json& key) {
  const fs::path folder = user_directory("XDG_CACHE_HOME", ".cache");
  if (folder.empty()) return {};
  return folder / "costs" / (hash_of(key.dump()) + ".json");
}

std::optional<verify::CostPoints> read_costs(const Json& key) {
  const fs::path file = cost_file(key);
  std::error_code ignored;
  if (file.empty() || !fs::exists(file, ignored)) return {};
  const Result<std::string> text = read_file(file, kMostCostBytes);
  if (!text.ok()) return {};
  const Json json = Json::parse(text.value(), nullptr, false);
  verify::CostPoints points;
  if (json.is_discarded() || !json.is_object() || !read_curve(json, "rows", points.rows) ||
      !read_curve(json, "drafts", points.drafts) || points.rows.size() < 2) {
    log_warning("{}: no cost table; `dspark profile` makes it anew", file.string());
    return {};
  }
  if (json.value("key", Json()) != key) return {};
  return points;
}

Status write_costs(const Json& key, const verify::CostPoints& points) {
  const fs::path file = cost_file(key);
  if (file.empty()) return fail("no folder for the cost table: HOME is not set");
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) return fail("{}: {}", file.parent_path().string(), error.message());
  const Json json = {
      {"key", key}, {"rows", curve_json(points.rows)}, {"drafts", curve_json(points.drafts)}};
  return write_file_atomically(file, json.dump(1) + "\n");
}

}  // namespace dspark::apps

#include "draft/calibration_keys.h"

#include <algorithm>
#include <set>

namespace dspark::draft {
namespace {

using verify::Calibration;
using verify::Mode;
using verify::ModeCalibration;

constexpr const char* kCount = "dspark.calibrations";
constexpr std::string_view kNumberedPrefix = "dspark.calibration.";
constexpr int64_t kMost = 64;

std::string key_of(size_t index, std::string_view name) {
  return fmt::format("{}{}.{}", kNumberedPrefix, index, name);
}

// One calibration of a file; remembers which keys were asked for.
class Reader {
 public:
  Reader(const formats::GgufFile& file, const DrafterConfig& config, size_t index)
      : file_(file), config_(config), index_(index) {}

  Result<StoredCalibration> read(std::set<std::string, std::less<>>& keys) {
    StoredCalibration stored;
    DSPARK_RETURN_IF_ERROR(read_mode(stored.fit));
    DSPARK_RETURN_IF_ERROR(read_parameters(stored.fit.calibration));
    DSPARK_TRY(stored.target, file_.string(key("target")));
    DSPARK_TRY(stored.target_xxh3, file_.string(key("target_xxh3")));
    DSPARK_TRY(stored.program, file_.string(key("program")));
    DSPARK_RETURN_IF_ERROR(read_count("prompts", stored.prompts));
    DSPARK_RETURN_IF_ERROR(read_count("cycles", stored.cycles));
    DSPARK_RETURN_IF_ERROR(read_data(stored.data));
    keys.merge(keys_);
    return stored;
  }

 private:
  const std::string& key(std::string_view name) {
    return *keys_.insert(key_of(index_, name)).first;
  }
  template <class... Args>
  Error wrong(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
    return fail("{}: key {}: {}", file_.name(), key(name),
                fmt::format(format, std::forward<Args>(args)...));
  }

  Status read_mode(ModeCalibration& fit) {
    DSPARK_TRY(const std::string mode, file_.string(key("mode")));
    const auto parsed = verify::parse_mode(mode);
    if (!parsed.ok() || parsed.value() == Mode::kBlock)
      return wrong("mode", "{}, expected greedy, coupled or rejection", formats::shown(mode));
    fit.mode = parsed.value();
    DSPARK_TRY(fit.temperature, file_.number(key("temperature")));
    if (fit.temperature < 0 || fit.temperature > sample::kMaxTemperature)
      return wrong("temperature", "{}, expected 0 to {}", fit.temperature, sample::kMaxTemperature);
    if ((fit.mode == Mode::kGreedy) != (fit.temperature == 0))
      return wrong("temperature", "{} with mode {}: 0 is greedy's alone", fit.temperature, mode);
    return {};
  }

  Status read_parameters(Calibration& calibration) {
    DSPARK_TRY(const std::string form, file_.string(key("form")));
    const bool sts = form == verify::form_name(verify::CalibrationForm::kSts);
    if (!sts && form != verify::form_name(verify::CalibrationForm::kScaleOffset))
      return wrong("form", "{}, expected sts or scale_offset", formats::shown(form));
    DSPARK_TRY(calibration.temperatures, read_slots("temperatures"));
    for (size_t k = 0; k < calibration.temperatures.size(); ++k)
      if (calibration.temperatures[k] <= 0)
        return wrong("temperatures", "{} of slot {}, expected a number above 0",
                     calibration.temperatures[k], k);
    if (!sts) {
      DSPARK_TRY(calibration.offsets, read_slots("offsets"));
      if (file_.has(key("weights"))) {
        DSPARK_TRY(calibration.weights, read_slots("weights"));
      }
    }
    return {};
  }

  Result<std::vector<double>> read_slots(std::string_view name) {
    DSPARK_TRY(std::vector<double> values, file_.numbers(key(name)));
    if (values.size() != static_cast<size_t>(config_.slots()))
      return wrong(name, "{} numbers, expected {}, one a slot", values.size(), config_.slots());
    return values;
  }

  Status read_count(std::string_view name, int64_t& count) {
    DSPARK_TRY(count, file_.integer(key(name)));
    if (count < 0) return wrong(name, "{}, expected 0 or more", count);
    return {};
  }

  Status read_data(std::vector<StoredCalibration::Data>& data) {
    DSPARK_TRY(const auto* names, file_.strings(key("data")));
    DSPARK_TRY(const auto* hashes, file_.strings(key("data_xxh3")));
    if (names->size() != hashes->size())
      return wrong("data_xxh3", "{} hashes of {} files", hashes->size(), names->size());
    for (size_t i = 0; i < names->size(); ++i) data.push_back({(*names)[i], (*hashes)[i]});
    return {};
  }

  const formats::GgufFile& file_;
  const DrafterConfig& config_;
  size_t index_;
  std::set<std::string, std::less<>> keys_;
};

bool same_place(const StoredCalibration& a, const StoredCalibration& b) {
  return a.fit.mode == b.fit.mode && a.fit.temperature == b.fit.temperature;
}

}  // namespace

bool is_calibration_key(std::string_view name) {
  return name == "calibrations" || name.starts_with("calibration.");
}

void set_calibration_keys(const DrafterConfig& config, formats::GgufWriter& writer) {
  if (config.calibrations.empty()) return;
  writer.set(kCount, static_cast<uint64_t>(config.calibrations.size()));
  for (size_t i = 0; i < config.calibrations.size(); ++i) {
    const StoredCalibration& stored = config.calibrations[i];
    const auto set = [&](std::string_view name, formats::GgufValue value) {
      writer.set(key_of(i, name), std::move(value));
    };
    const Calibration& calibration = stored.fit.calibration;
    set("mode", std::string(verify::mode_name(stored.fit.mode)));
    set("temperature", stored.fit.temperature);
    set("form", std::string(verify::form_name(verify::form_of(calibration))));
    set("temperatures", formats::GgufArray{calibration.temperatures});
    if (!calibration.offsets.empty()) set("offsets", formats::GgufArray{calibration.offsets});
    if (!calibration.weights.empty()) set("weights", formats::GgufArray{calibration.weights});
    set("target", stored.target);
    set("target_xxh3", stored.target_xxh3);
    std::vector<std::string> names, hashes;
    for (const auto& data : stored.data) names.push_back(data.name), hashes.push_back(data.xxh3);
    set("data", formats::GgufArray{std::move(names)});
    set("data_xxh3", formats::GgufArray{std::move(hashes)});
    set("prompts", static_cast<uint64_t>(stored.prompts));
    set("cycles", static_cast<uint64_t>(stored.cycles));
    set("program", stored.program);
  }
}

Result<std::vector<StoredCalibration>> read_calibrations(const formats::GgufFile& file,
                                                         const DrafterConfig& config) {
  DSPARK_TRY(const int64_t count, file.integer(kCount, 0));
  if (count < 0 || count > kMost)
    return fail("{}: key {}: {}, expected 0 to {}", file.name(), kCount, count, kMost);
  if (count > 0 && !config.confidence_head)
    return fail("{}: key {}: {} of a drafter without a confidence head", file.name(), kCount,
                count);
  std::vector<StoredCalibration> all;
  std::set<std::string, std::less<>> keys;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    DSPARK_TRY(StoredCalibration stored, Reader(file, config, i).read(keys));
    for (const StoredCalibration& other : all)
      if (same_place(stored, other))
        return fail("{}: key {}: a second calibration of {} at temperature {}", file.name(),
                    key_of(i, "mode"), verify::mode_name(stored.fit.mode), stored.fit.temperature);
    all.push_back(std::move(stored));
  }
  for (const auto& [key, value] : file.metadata())
    if (key.starts_with(kNumberedPrefix) && !keys.contains(key))
      return fail("{}: key {} is unknown in version 1 of the form, with {} calibrations",
                  file.name(), formats::shown(key), count);
  return all;
}

}  // namespace dspark::draft

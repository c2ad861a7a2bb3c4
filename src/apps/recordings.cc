#include "apps/recordings.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "apps/content_hash.h"

namespace dspark::apps {
namespace {

// A line is {"xxh3":"0123456789abcdef","record":{...}}: the hash of the record's text.
constexpr std::string_view kBegin = "{\"xxh3\":\"", kMiddle = "\",\"record\":", kEnd = "}";
constexpr size_t kHashDigits = 16;
constexpr size_t kMostRecordingBytes = size_t{8} << 30;

std::string line_of(const Json& record) {
  const std::string text = to_line(record);
  return fmt::format("{}{}{}{}{}\n", kBegin, hash_of(text), kMiddle, text, kEnd);
}

// The record's text; empty where the line is damaged.
std::string_view record_of(std::string_view line) {
  const size_t frame = kBegin.size() + kHashDigits + kMiddle.size();
  if (line.size() < frame + kEnd.size() || !line.starts_with(kBegin) || !line.ends_with(kEnd) ||
      line.substr(kBegin.size() + kHashDigits, kMiddle.size()) != kMiddle)
    return {};
  const std::string_view text = line.substr(frame, line.size() - frame - kEnd.size());
  return line.substr(kBegin.size(), kHashDigits) == hash_of(text) ? text : std::string_view();
}

Error broken(const std::filesystem::path& path, const char* what) {
  return fail("{}: cannot {}: {}", path.string(), what, std::strerror(errno));
}

}  // namespace

Recordings::~Recordings() { ::close(fd_); }

Result<std::unique_ptr<Recordings>> Recordings::open(const std::filesystem::path& path,
                                                     const Json& settings, size_t prompts,
                                                     int slots) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return broken(path, "open");
  std::unique_ptr<Recordings> made(new Recordings(fd, path, prompts, slots));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
    return fail("{}: another process is recording into it", path.string());
  DSPARK_RETURN_IF_ERROR(made->load(settings));
  return made;
}

Status Recordings::load(const Json& settings) {
  DSPARK_TRY(const std::string text, read_file(path_, kMostRecordingBytes));
  const size_t end = text.rfind('\n') + 1;  // 0: no line was finished
  const size_t begun = std::min(text.size(), kBegin.size());
  if (text.substr(0, begun) != kBegin.substr(0, begun))
    return fail("{}: not the recordings of a calibration", path_.string());
  if (end < text.size() && ::ftruncate(fd_, static_cast<off_t>(end)) != 0)
    return broken(path_, "shorten");
  if (end == 0) return write({{"settings", settings}});
  return for_each_line(std::string_view(text).substr(0, end),
                       [&](std::string_view line, size_t number) -> Status {
                         const std::string place = fmt::format("{}:{}", path_.string(), number);
                         const std::string_view record = record_of(line);
                         if (record.empty() && number == 1)
                           return fail("{}: not the recordings of a calibration", place);
                         if (record.empty()) {
                           log_warning("{}: damaged, and recorded again", place);
                           return {};
                         }
                         DSPARK_TRY(const Json json, parse_object(record, place));
                         if (number > 1) return take(json, place);
                         return check_settings(json.value("settings", Json()), settings);
                       });
}

Status Recordings::check_settings(const Json& found, const Json& settings) const {
  for (const auto& [key, value] : settings.items()) {
    const Json was = found.is_object() ? found.value(key, Json()) : Json();
    if (was != value)
      return fail(
          "{}: begun with other settings ({} {}, now {}): remove it, or repeat the command that "
          "began it",
          path_.string(), key, to_line(was), to_line(value));
  }
  return {};
}

Status Recordings::take(const Json& json, const std::string& place) {
  PromptRecord record;
  size_t prompt = 0, drafted = 0;
  bool sound = true;
  try {
    prompt = json.at("prompt").get<size_t>();
    record.tokens = json.at("tokens").get<int64_t>();
    for (const Json& cycle : json.at("cycles")) {
      record.cycles.push_back(
          {cycle.at(0).get<int>(), cycle.at(1).get<int>(), cycle.at(2).get<int>()});
      const PromptRecord::Cycle& c = record.cycles.back();
      sound &= 1 <= c.drafted && c.drafted <= slots_ && 0 <= c.accepted &&
               c.accepted <= c.considered && c.considered <= c.drafted;
      drafted += static_cast<size_t>(c.drafted);
      if (!sound) break;
    }
    record.logits = json.at("logits").get<std::vector<float>>();
    record.certainties = json.at("certainties").get<std::vector<float>>();
  } catch (const nlohmann::json::exception&) {
    sound = false;
  }
  for (const auto* values : {&record.logits, &record.certainties}) {
    sound &= values->size() == drafted;
    for (const float value : *values) sound &= std::isfinite(value);
  }
  if (!sound || prompt >= prompts_)
    return fail("{}: not a record of {} slots and {} prompts", place, slots_, prompts_);
  records_.emplace(prompt, std::move(record));
  return {};
}

Status Recordings::append(size_t prompt, PromptRecord record) {
  Json cycles = Json::array();
  for (const auto& c : record.cycles) cycles.push_back({c.drafted, c.considered, c.accepted});
  DSPARK_RETURN_IF_ERROR(write({{"prompt", prompt},
                                {"tokens", record.tokens},
                                {"cycles", std::move(cycles)},
                                {"logits", record.logits},
                                {"certainties", record.certainties}}));
  records_.emplace(prompt, std::move(record));
  return {};
}

Status Recordings::write(const Json& record) {
  const std::string line = line_of(record);
  for (size_t done = 0; done < line.size();) {
    const ssize_t put = ::write(fd_, line.data() + done, line.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return broken(path_, "write");
    done += static_cast<size_t>(put);
  }
  if (::fdatasync(fd_) != 0) return broken(path_, "flush");
  return {};
}

Status Recordings::remove() {
  std::error_code error;
  std::filesystem::remove(path_, error);
  if (error) return fail("{}: cannot remove: {}", path_.string(), error.message());
  return {};
}

}  // namespace dspark::apps

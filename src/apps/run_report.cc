#include "apps/run_report.h"

#include <sys/resource.h>

#include <filesystem>

namespace dspark::apps {
namespace {

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

// The chosen token of each place with the most likely ones.
Json logprobs_json(const engine::Completion& completion) {
  Json places = Json::array();
  for (const auto& place : completion.logprobs) {
    Json top = Json::array();
    for (size_t i = 1; i < place.size(); ++i) top.push_back({place[i].id, place[i].logprob});
    if (!place.empty())
      places.push_back(
          {{"id", place[0].id}, {"logprob", place[0].logprob}, {"top", std::move(top)}});
  }
  return places;
}

Json completion_json(const Answer& answer, bool logprobs) {
  const engine::Completion& completion = answer.completion;
  Json cycles = Json::array();
  for (const engine::Cycle& cycle : completion.cycles)
    cycles.push_back(
        {{"drafted", cycle.drafted}, {"verified", cycle.verified}, {"accepted", cycle.accepted}});
  Json json = {{"id", answer.id},
               {"prompt_ids", answer.prompt_ids},
               {"ids", completion.ids},
               {"text", completion.text},
               {"finish", engine::finish_name(completion.finish)},
               {"cycles", std::move(cycles)},
               {"timing",
                {{"prefill_ms", completion.prefill_ms},
                 {"decode_ms", completion.decode_ms},
                 {"tok_per_s", completion.tok_per_s}}}};
  if (logprobs) json["logprobs"] = logprobs_json(completion);
  if (completion.finish == engine::Finish::kError) json["error"] = completion.error;
  return json;
}

}  // namespace

Result<RunReport> RunReport::create(const std::string& file, RunSettings settings) {
  RunReport report;
  report.settings_ = settings;
  report.name_ = file;
  if (file.empty()) return report;
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (std::filesystem::is_directory(status)) return fail("{}: expected a file to write", file);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    report.stream_.emplace(file, std::ios::binary);
    if (!*report.stream_) return fail("{}: cannot write", file);
    return report;
  }
  DSPARK_TRY(AtomicFile created, AtomicFile::create(file));
  report.file_.push_back(std::move(created));
  return report;
}

void RunReport::model_loaded() { loaded_ = last_ = Clock::now(); }
void RunReport::request_finished() { last_ = Clock::now(); }

double RunReport::wall_ms() const {
  return std::chrono::duration<double, std::milli>(last_ - loaded_).count();
}

void RunReport::warn(std::string message) {
  log_warning("{}", message);
  warnings_.push_back(std::move(message));
}

Status RunReport::add(const Answer& answer) {
  ++requests_;
  prompt_tokens_ += static_cast<int64_t>(answer.prompt_ids.size());
  tokens_ += static_cast<int64_t>(answer.completion.ids.size());
  cycles_ += static_cast<int64_t>(answer.completion.cycles.size());
  for (const engine::Cycle& cycle : answer.completion.cycles) accepted_ += cycle.accepted;
  if (name_.empty()) return {};
  return write(completion_json(answer, settings_.logprobs));
}

Status RunReport::write(const Json& value) {
  const std::string line = to_line(value) + "\n";
  if (!file_.empty()) return file_.front().write(line.data(), line.size());
  if (!stream_->write(line.data(), static_cast<std::streamsize>(line.size())).flush())
    return fail("{}: cannot write", name_);
  return {};
}

Json RunReport::summary(const engine::Info& info) const {
  const double wall = wall_ms();
  std::vector<std::string> warnings = warnings_;
  warnings.insert(warnings.end(), info.warnings.begin(), info.warnings.end());
  return {
      {"model", info.model},
      {"drafter", info.drafter},
      {"isa", info.isa},
      {"threads", info.threads},
      {"planner", info.planner},
      {"verify", info.verify == "coupled" && !settings_.sampled ? "greedy" : info.verify},
      {"concurrency", settings_.concurrency},
      {"requests", requests_},
      {"prompt_tokens", prompt_tokens_},
      {"tokens", tokens_},
      {"wall_ms", wall},
      {"load_ms", info.load_ms},
      {"tok_per_s", wall > 0 ? static_cast<double>(tokens_) / wall * 1e3 : 0.0},
      {"tau",
       cycles_ > 0 ? static_cast<double>(accepted_ + cycles_) / static_cast<double>(cycles_) : 1.0},
      {"peak_rss_bytes", peak_rss_bytes()},
      {"seed", settings_.sampled ? Json(settings_.seed) : Json(nullptr)},
      {"warnings", std::move(warnings)}};
}

Status RunReport::finish(const engine::Info& info) {
  const double seconds = wall_ms() / 1e3;
  if (requests_ > 1)
    fmt::print(stderr, "{} completions, {} prompt tokens, {} tokens in {:.1f} s: {:.1f} tok/s\n",
               requests_, prompt_tokens_, tokens_, seconds,
               seconds > 0 ? static_cast<double>(tokens_) / seconds : 0.0);
  if (name_.empty()) return {};
  DSPARK_RETURN_IF_ERROR(write(Json{{"summary", summary(info)}}));
  if (!file_.empty()) return file_.front().commit();
  return {};
}

}  // namespace dspark::apps

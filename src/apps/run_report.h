// What a run tells about itself: the JSON Lines of --json (docs/json.md), warnings and the summary.
#pragma once

#include <chrono>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "apps/json_lines.h"
#include "engine/engine.h"

namespace dspark::apps {

// A completion as the report takes it.
struct Answer {
  Json id;
  std::vector<int32_t> prompt_ids = {};
  engine::Completion completion = {};
};

// What the summary says of the run's settings.
struct RunSettings {
  int concurrency = 1;
  bool sampled = false;  // temperature > 0
  uint64_t seed = 0;
  bool logprobs = false;  // completions show them
};

class RunReport {
 public:
  // file: empty for no JSON. A regular file appears at finish() and not before; a pipe or a device
  // is written as the run goes.
  static Result<RunReport> create(const std::string& file, RunSettings settings);

  void model_loaded();             // starts the clock of wall_ms
  void request_finished();         // stops it, for now
  void warn(std::string message);  // on stderr and in the summary

  Status add(const Answer& answer);  // in input order
  // Writes the summary line and, on stderr, the totals.
  Status finish(const engine::Info& info);

  int64_t tokens() const { return tokens_; }

 private:
  RunReport() = default;
  using Clock = std::chrono::steady_clock;
  Status write(const Json& value);
  Json summary(const engine::Info& info) const;
  double wall_ms() const;

  RunSettings settings_;
  std::vector<AtomicFile> file_;  // empty or one
  std::optional<std::ofstream> stream_;
  std::string name_;
  std::vector<std::string> warnings_;
  Clock::time_point loaded_{}, last_{};
  int64_t requests_ = 0, prompt_tokens_ = 0, tokens_ = 0, cycles_ = 0, accepted_ = 0;
};

}  // namespace dspark::apps

// A file in which a trace viewer (ui.perfetto.dev, chrome://tracing) shows what the engine did:
// steps with their parts, what the planner thought of them, requests.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace dspark::apps {

// Chrome's trace event format, complete at finish() and not there before. docs/json.md has the
// events. Calls come from one thread, or one after the other.
class StepTrace {
 public:
  static Result<std::unique_ptr<StepTrace>> create(const std::string& file);

  // For engine::Options::on_step. Does nothing after finish().
  void step(const engine::StepStats& step);
  // What follows is a part of this name, on a track of its own.
  void begin_part(std::string name);
  // Steps are left out until the next part begins.
  void pause();
  // Whatever went wrong on the way is said here.
  Status finish();

 private:
  using Clock = std::chrono::steady_clock;
  // A request's row in the viewer, from its first step to its last; the next one takes it over.
  struct Lane {
    engine::RequestId id = 0;  // 0: free
    double start_us = 0, end_us = 0;
    bool seen = false;  // in this step
  };

  explicit StepTrace(AtomicFile file);
  double now_us() const;
  void add(std::string_view event);  // one JSON object
  void name_track(int process, int track, std::string_view kind, std::string_view name);
  size_t lane_of(engine::RequestId id, double start_us);
  void end_lane(size_t lane);
  void end_part(double at_us);
  void end_lanes();
  void add_requests(const engine::StepStats& step, double start_us, double end_us);

  AtomicFile file_;
  Clock::time_point start_ = Clock::now();
  std::string buffer_;
  bool first_ = true, paused_ = false, finished_ = false;
  Status failed_;
  std::vector<Lane> lanes_;
  std::string part_;
  double part_start_us_ = 0;
};

}  // namespace dspark::apps

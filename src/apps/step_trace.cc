#include "apps/step_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "apps/json_lines.h"

namespace dspark::apps {
namespace {

constexpr int kStepTracks = 1, kRequestTracks = 2;  // "processes" of the viewer
constexpr int kStepTrack = 1, kPartTrack = 2;       // of kStepTracks
constexpr size_t kBufferBytes = size_t{1} << 16;

std::string span_of(int process, int track, std::string_view name, double start_us, double dur_us,
                    std::string_view args) {
  return fmt::format(
      R"({{"ph":"X","pid":{},"tid":{},"name":{},"ts":{:.3f},"dur":{:.3f},"args":{{{}}}}})", process,
      track, to_line(name), start_us, dur_us, args);
}

std::string counter_of(std::string_view name, double at_us, std::string_view args) {
  return fmt::format(R"({{"ph":"C","pid":{},"name":"{}","ts":{:.3f},"args":{{{}}}}})", kStepTracks,
                     name, at_us, args);
}

std::string step_args(const engine::StepStats& step) {
  std::string args = fmt::format(
      R"("rows":{},"requests":{},"decoding":{},"drafted":{},"verified":{},"accepted":{},)"
      R"("trimmed":{},"tokens":{})",
      step.rows, step.requests, step.decoding, step.drafted, step.verified, step.accepted,
      step.drafted - step.verified, step.tokens);
  if (step.planned)
    args += fmt::format(
        R"(,"budget":{},"lag":{},"predicted_ms":{:.4f},"real_ms":{:.4f},"expected_tokens":{:.4f})",
        step.budget, step.lag, step.predicted_ms, step.ms - step.absorb_ms, step.expected_tokens);
  return args;
}

}  // namespace

StepTrace::StepTrace(AtomicFile file) : file_(std::move(file)) {
  buffer_ = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
  name_track(kStepTracks, 0, "process_name", "steps");
  name_track(kStepTracks, kStepTrack, "thread_name", "steps");
  name_track(kStepTracks, kPartTrack, "thread_name", "parts");
  name_track(kRequestTracks, 0, "process_name", "requests");
}

Result<std::unique_ptr<StepTrace>> StepTrace::create(const std::string& file) {
  DSPARK_TRY(AtomicFile made, AtomicFile::create(file));
  return std::unique_ptr<StepTrace>(new StepTrace(std::move(made)));
}

double StepTrace::now_us() const {
  return std::chrono::duration<double, std::micro>(Clock::now() - start_).count();
}

void StepTrace::add(std::string_view event) {
  buffer_ += first_ ? "\n" : ",\n";
  first_ = false;
  buffer_ += event;
  if (buffer_.size() < kBufferBytes || !failed_.ok()) return;
  failed_ = file_.write(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void StepTrace::name_track(int process, int track, std::string_view kind, std::string_view name) {
  add(fmt::format(R"({{"ph":"M","pid":{},"tid":{},"name":"{}","args":{{"name":"{}"}}}})", process,
                  track, kind, name));
}

void StepTrace::step(const engine::StepStats& step) {
  if (paused_ || finished_ || !failed_.ok()) return;
  const double end_us = now_us(), start_us = std::max(0.0, end_us - step.ms * 1e3);
  add(span_of(kStepTracks, kStepTrack, "step", start_us, end_us - start_us, step_args(step)));
  // The parts in the order in which they come, one directly behind the other.
  double at_us = start_us;
  const auto part = [&](const char* name, double ms) {
    if (ms <= 0) return;
    const double dur_us = std::min(ms * 1e3, end_us - at_us);
    add(span_of(kStepTracks, kStepTrack, name, at_us, dur_us, {}));
    at_us += dur_us;
  };
  part("draft", step.draft_ms - step.absorb_ms);
  part("plan", step.plan_ms);
  part("forward", step.forward_ms);
  part("verify", step.verify_ms);
  part("absorb", step.absorb_ms);
  add(counter_of("rows", start_us,
                 fmt::format(R"("anchors":{},"drafts":{},"prompts":{})", step.decoding,
                             step.verified, step.rows - step.decoding - step.verified)));
  add(counter_of("budget", start_us, fmt::format(R"("rows":{})", step.budget)));
  add(counter_of("requests", start_us,
                 fmt::format(R"("running":{},"waiting":{})", step.running, step.waiting)));
  add_requests(step, start_us, end_us);
}

void StepTrace::add_requests(const engine::StepStats& step, double start_us, double end_us) {
  for (Lane& lane : lanes_) lane.seen = false;
  for (const engine::RequestStep& request : step.by_request) {
    const size_t at = lane_of(request.id, start_us);
    lanes_[at].seen = true;
    lanes_[at].end_us = end_us;
    const int track = static_cast<int>(at) + 1;
    if (request.prompt_rows > 0)
      add(span_of(kRequestTracks, track, "prompt", start_us, end_us - start_us,
                  fmt::format(R"("rows":{})", request.prompt_rows)));
    else if (request.decoded)
      add(span_of(kRequestTracks, track, "cycle", start_us, end_us - start_us,
                  fmt::format(R"("drafted":{},"verified":{},"accepted":{},"expected":{:.4f})",
                              request.drafted, request.verified, request.accepted,
                              request.expected_accepted)));
    if (request.finished) end_lane(at);
  }
  // Cancelled between steps, or preempted: a lane anew when it goes on.
  for (size_t at = 0; at < lanes_.size(); ++at)
    if (lanes_[at].id != 0 && !lanes_[at].seen) end_lane(at);
}

size_t StepTrace::lane_of(engine::RequestId id, double start_us) {
  const auto is = [&](engine::RequestId wanted) {
    return std::find_if(lanes_.begin(), lanes_.end(),
                        [&](const Lane& lane) { return lane.id == wanted; });
  };
  auto at = is(id);
  if (at != lanes_.end()) return static_cast<size_t>(at - lanes_.begin());
  // A lane whose request ended in this very step is not free yet: spans of a track may not overlap.
  at = std::find_if(lanes_.begin(), lanes_.end(),
                    [](const Lane& lane) { return lane.id == 0 && !lane.seen; });
  if (at == lanes_.end()) at = lanes_.insert(lanes_.end(), Lane{});
  *at = {id, start_us, start_us, true};
  return static_cast<size_t>(at - lanes_.begin());
}

void StepTrace::end_lane(size_t at) {
  Lane& lane = lanes_[at];
  add(span_of(kRequestTracks, static_cast<int>(at) + 1, fmt::format("request {}", lane.id),
              lane.start_us, lane.end_us - lane.start_us, {}));
  lane.id = 0;
}

void StepTrace::end_lanes() {
  for (size_t at = 0; at < lanes_.size(); ++at)
    if (lanes_[at].id != 0) end_lane(at);
}

void StepTrace::begin_part(std::string name) {
  if (finished_) return;
  const double at_us = now_us();
  end_part(at_us);
  paused_ = false;
  part_ = std::move(name);
  part_start_us_ = at_us;
}

void StepTrace::end_part(double at_us) {
  if (part_.empty()) return;
  add(span_of(kStepTracks, kPartTrack, part_, part_start_us_, at_us - part_start_us_, {}));
  part_.clear();
}

void StepTrace::pause() {
  if (finished_) return;
  end_lanes();
  end_part(now_us());
  paused_ = true;
}

Status StepTrace::finish() {
  if (finished_) return {};
  end_lanes();
  end_part(now_us());
  finished_ = true;
  DSPARK_RETURN_IF_ERROR(failed_);
  buffer_ += "\n]}\n";
  DSPARK_RETURN_IF_ERROR(file_.write(buffer_.data(), buffer_.size()));
  return file_.commit();
}

}  // namespace dspark::apps

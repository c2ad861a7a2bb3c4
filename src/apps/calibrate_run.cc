// calibrate's recording: answers with every draft verified, and what became of each slot.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "apps/calibrate.h"
#include "apps/content_hash.h"
#include "apps/progress.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

using Clock = std::chrono::steady_clock;

Result<PromptRecord> record_of(const engine::Completion& completion) {
  PromptRecord record{.tokens = static_cast<int64_t>(completion.ids.size())};
  size_t first = 0;
  for (const engine::Cycle& cycle : completion.cycles) {
    if (cycle.drafted == 0) continue;
    const size_t begin = first;
    first += static_cast<size_t>(cycle.drafted);
    if (first > completion.confidence_logits.size()) return fail("the drafter gave no confidences");
    if (cycle.verified < cycle.drafted) continue;  // not at full length
    record.cycles.push_back(
        {cycle.drafted, cycle.ended ? cycle.accepted : cycle.verified, cycle.accepted});
    for (size_t i = begin; i < first; ++i) {
      record.logits.push_back(completion.confidence_logits[i]);
      record.certainties.push_back(completion.certainties[i]);
    }
  }
  for (const auto* values : {&record.logits, &record.certainties})
    for (const float value : *values)
      if (!std::isfinite(value)) return fail("a confidence logit or certainty is {}", value);
  return record;
}

// Everything that the records depend on.
Json settings_of(const CalibrateArguments& arguments, const CalibrationSource& source,
                 const ModeResult& mode, int64_t context) {
  Json data = Json::array();
  for (const auto& file : source.data) data.push_back({{"name", file.name}, {"xxh3", file.xxh3}});
  std::string ids;  // a template may write the date into them
  for (const auto& prompt : source.prompts) {
    ids += fmt::format("{} ", prompt.size());
    ids.append(reinterpret_cast<const char*>(prompt.data()), prompt.size() * sizeof(int32_t));
  }
  return {{"what", "recordings of dspark calibrate"},
          {"version", 2},
          {"program", DSPARK_VERSION},
          {"mode", verify::mode_name(mode.mode)},
          {"temperature", mode.temperature},
          {"seed", arguments.seed},
          {"max_tokens", arguments.max_tokens},
          {"limit", arguments.limit},
          {"context", context},
          {"quantize", arguments.engine.quantize},
          {"slots", source.slots},
          {"target", source.model_hash},
          {"drafter", source.drafter_fingerprint},
          {"data", std::move(data)},
          {"prompts", source.prompts.size()},
          {"prompt_ids", hash_of(ids)}};
}

}  // namespace

Result<std::unique_ptr<engine::Engine>> recording_engine(const CalibrateArguments& arguments,
                                                         verify::Mode mode) {
  engine::Options options = arguments.engine.to_options();
  options.max_running = arguments.concurrency;
  options.planner = "full";
  options.verify = mode;
  return load_engine(arguments.engine, std::move(options));
}

Result<std::unique_ptr<Recordings>> open_recordings(const CalibrateArguments& arguments,
                                                    const CalibrationSource& source,
                                                    const ModeResult& mode, int64_t context) {
  const std::string path =
      fmt::format("{}.calibrate-{}.jsonl", source.out.string(), verify::mode_name(mode.mode));
  return Recordings::open(path, settings_of(arguments, source, mode, context),
                          source.prompts.size(), source.slots);
}

Status record(const CalibrateArguments& arguments, const CalibrationSource& source,
              engine::Engine& engine, const InterruptFlag& interrupt, ModeResult& mode) {
  Recordings& recordings = *mode.recordings;
  const size_t total = source.prompts.size(), before = recordings.records().size();
  Progress progress(verify::mode_name(mode.mode), "prompts");
  Status failed;
  size_t next = 0;
  int open = 0;
  int64_t tokens = 0;
  const auto start = Clock::now();
  for (;;) {
    for (; open < arguments.concurrency && next < total; ++next) {
      if (recordings.has(next)) continue;
      engine::Request request;
      request.prompt_ids = source.prompts[next];
      request.sampling.temperature = mode.temperature;
      request.sampling.seed = arguments.seed + next;  // noise of its own for each prompt
      request.max_tokens = static_cast<int>(
          std::min<int64_t>(engine.info().context - static_cast<int64_t>(request.prompt_ids.size()),
                            arguments.max_tokens));
      request.record_confidence = true;
      engine::Callbacks callbacks;
      callbacks.on_finished = [&, prompt = next](const engine::Completion& completion) {
        --open;
        if (!failed.ok()) return;
        if (completion.finish == engine::Finish::kError) {
          failed = fail("prompt {}: {}", prompt, completion.error);
          return;
        }
        auto taken = record_of(completion);
        failed = taken.ok() ? recordings.append(prompt, taken.take())
                            : Status(fail("prompt {}: {}", prompt, taken.message()));
        tokens += static_cast<int64_t>(completion.ids.size());
      };
      DSPARK_TRY([[maybe_unused]] const auto id,
                 engine.submit(std::move(request), std::move(callbacks)));
      ++open;
    }
    if (open == 0) return {};
    engine.step();
    DSPARK_RETURN_IF_ERROR(failed);
    const size_t done = recordings.records().size();
    if (interrupt.raised())
      return fail("interrupted: {} of {} prompts are recorded; the same command goes on", done,
                  total);
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    progress.update(
        static_cast<double>(done - before), static_cast<double>(total - before),
        fmt::format("{:.0f} tok/s", 1e3 * static_cast<double>(tokens) / std::max(ms, 1e-3)));
  }
}

Status fit(const CalibrationSource& source, ModeResult& mode) {
  const auto slots = static_cast<size_t>(source.slots);
  std::vector<verify::PromptCycles> prompts;
  std::vector<float> logits, certainties;  // [cycles, slots], zeros behind what was drafted
  for (const auto& [prompt, record] : mode.recordings->records()) {
    mode.tokens += record.tokens;
    mode.cycles += static_cast<int64_t>(record.cycles.size());
  }
  logits.resize(static_cast<size_t>(mode.cycles) * slots);
  certainties.resize(logits.size());
  size_t row = 0;
  for (const auto& [prompt, record] : mode.recordings->records()) {
    verify::PromptCycles cycles;
    size_t from = 0;
    for (const PromptRecord::Cycle& cycle : record.cycles) {
      std::copy_n(record.logits.data() + from, cycle.drafted, logits.data() + row);
      std::copy_n(record.certainties.data() + from, cycle.drafted, certainties.data() + row);
      cycles.push_back({std::span(logits).subspan(row, slots), cycle.considered, cycle.accepted,
                        std::span(certainties).subspan(row, slots)});
      from += static_cast<size_t>(cycle.drafted);
      row += slots;
    }
    prompts.push_back(std::move(cycles));
  }
  auto choice = verify::choose_calibration(prompts, source.slots);
  if (!choice) return fail("{}: {}", verify::mode_name(mode.mode), choice.message());
  mode.choice = choice.take();
  return {};
}

}  // namespace dspark::apps

// The command calibrate: records raw confidences against what verification accepts, mode by mode,
// and fits and stores what makes them true frequencies.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/arguments.h"
#include "apps/eval.h"
#include "apps/interrupt.h"
#include "apps/recordings.h"
#include "draft/draft.h"
#include "engine/engine.h"
#include "verify/verify.h"

namespace dspark::apps {

struct CalibrateArguments {
  EngineArguments engine;
  std::vector<std::string> data, modes = {"greedy", "coupled", "rejection"};
  std::string out;               // empty: the drafter's own file
  std::string json_file, plots;  // empty: none
  float temperature = 1;         // of coupled and rejection
  int max_tokens = 512, limit = 0, concurrency = 8;
  uint64_t seed = 980406;
};

// What is recorded, whichever mode it is for.
struct CalibrationSource {
  std::filesystem::path model, drafter, out;
  std::string model_hash, drafter_fingerprint;
  std::vector<draft::StoredCalibration::Data> data;
  std::vector<std::vector<int32_t>> prompts = {};  // of all files, in order
  int slots = 0;
};

// A mode with its recordings and what they came to.
struct ModeResult {
  verify::Mode mode = verify::Mode::kGreedy;
  float temperature = 0;
  std::unique_ptr<Recordings> recordings = nullptr;
  int64_t cycles = 0, tokens = 0;
  std::optional<verify::CalibrationChoice> choice = {};
};

// calibrate_run.cc
// An engine that verifies every draft in this mode.
Result<std::unique_ptr<engine::Engine>> recording_engine(const CalibrateArguments& arguments,
                                                         verify::Mode mode);
Result<std::unique_ptr<Recordings>> open_recordings(const CalibrateArguments& arguments,
                                                    const CalibrationSource& source,
                                                    const ModeResult& mode, int64_t context);
// Runs the prompts that are not recorded yet. An error when a request fails or the user interrupts;
// what was recorded until then stays.
Status record(const CalibrateArguments& arguments, const CalibrationSource& source,
              engine::Engine& engine, const InterruptFlag& interrupt, ModeResult& mode);
// Fits to the complete recordings.
Status fit(const CalibrationSource& source, ModeResult& mode);

// calibrate_report.cc
std::string calibration_table(const ModeResult& result, size_t prompts, int slots);
Json calibration_row(const ModeResult& result, size_t prompts, int slots);
Status write_calibration_plots(const ModeResult& result, int slots, const std::string& folder);

}  // namespace dspark::apps

// What became of every draft, with the confidences there were: what `dspark eval --record` writes
// and `dspark simulate` reads (docs/json.md).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "apps/json_lines.h"
#include "engine/engine.h"
#include "simulate/simulate.h"

namespace dspark::apps {

// Of completions whose drafts were all verified.
class OutcomeLog {
 public:
  // Of the prompt with this number in the suite with this number and name.
  void add(size_t suite, const std::string& name, size_t prompt,
           const engine::Completion& completion);
  // The whole file: a line that says what it is of, then answers by suite and prompt.
  std::string text(const engine::Info& info, double temperature,
                   const verify::ModeCalibration* calibration) const;

 private:
  std::map<std::pair<size_t, size_t>, std::string> lines_;
};

struct Outcomes {
  simulate::Recording recording;
  verify::Mode mode = verify::Mode::kCoupled;
  std::string model, drafter;
};
// Confidences are those that the engine went by; of older files, which lack them, the logits
// calibrated as the file says; without any, a slot's is the share of it that stood.
Result<Outcomes> read_outcomes(const std::filesystem::path& file);

}  // namespace dspark::apps

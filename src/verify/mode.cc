#include "verify/mode.h"

#include <vector>

namespace dspark::verify {

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::kGreedy:
      return "greedy";
    case Mode::kCoupled:
      return "coupled";
    case Mode::kRejection:
      return "rejection";
    case Mode::kBlock:
      return "block";
  }
  CHECK(false, "mode {}", static_cast<int>(mode));
}

Result<Mode> parse_mode(std::string_view name) {
  std::vector<std::string> names;
  for (const Mode mode : {Mode::kGreedy, Mode::kCoupled, Mode::kRejection, Mode::kBlock}) {
    if (name == mode_name(mode)) return mode;
    names.emplace_back(mode_name(mode));
  }
  return fail("unknown mode of verification '{}', the nearest is {}", name,
              nearest_word(name, names));
}

Status check_mode(Mode mode, const sample::Params& params) {
  if (mode == Mode::kGreedy && params.temperature != 0)
    return fail("greedy verification needs temperature 0, not {}; the nearest mode is coupled",
                params.temperature);
  return {};
}

}  // namespace dspark::verify

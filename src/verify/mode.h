// The modes of verification.
#pragma once

#include <string_view>

#include "sample/sample.h"

namespace dspark::verify {

enum class Mode {
  kGreedy,     // the draft equals the target's argmax
  kCoupled,    // the draft equals the target's own draw with the noise of its seed and position
  kRejection,  // with probability min(1, p / q), slot by slot
  kBlock,      // the same for whole blocks: never fewer accepted, on average
};

const char* mode_name(Mode mode);  // "greedy", "coupled", "rejection", "block"
// An unknown name's error names the nearest valid one.
Result<Mode> parse_mode(std::string_view name);

// An error where the mode cannot keep to these parameters: greedy needs temperature 0.
Status check_mode(Mode mode, const sample::Params& params);

// The text is a function of the target and the seed alone, whatever was drafted: every planner is
// lossless. In the other modes the text keeps its distribution only under a planner that decides
// about a slot before its token is known (spec F).
inline bool ignores_drafts(Mode mode) { return mode == Mode::kGreedy || mode == Mode::kCoupled; }

}  // namespace dspark::verify

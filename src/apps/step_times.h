// What the steps of decoding requests take: for bench and profile.
#pragma once

#include <vector>

#include "engine/engine.h"

namespace dspark::apps {

// Tokens of the prompts, so few that 64 of them are one chunk, and of the answers: fewer where
// steps are long.
inline constexpr int kTimedPrompt = 4;
inline int timed_tokens(int requests) { return requests < 16 ? 64 : 24; }

struct StepTimes {  // milliseconds, by step
  std::vector<double> step, draft, plan, forward, verify;
};

// Adds the steps in which `requests` requests, greedy unless told otherwise, decode together, each
// with `slots` drafts.
Status time_steps(engine::Engine& engine, int requests, int slots, StepTimes& times,
                  const sample::Params& sampling = {});

}  // namespace dspark::apps

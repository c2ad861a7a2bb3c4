// What the steps of decoding requests take: for bench and profile.
#pragma once

#include <vector>

#include "engine/engine.h"

namespace dspark::apps {

// Tokens of the prompts and of the answers: contexts stay below 128.
inline constexpr int kTimedPrompt = 32, kTimedTokens = 64;

struct StepTimes {  // milliseconds, by step
  std::vector<double> step, draft, plan, forward, verify;
};

// Adds the steps in which `requests` greedy requests decode together, each with `slots` drafts.
Status time_steps(engine::Engine& engine, int requests, int slots, StepTimes& times);

}  // namespace dspark::apps

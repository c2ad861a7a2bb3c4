// Recordings, costs and runs that the simulator's tests share.
#pragma once

#include "simulate/simulate.h"

namespace dspark::simulate::testing {

// Slots that are accepted with the same mean chance.
inline Recording recording_of(double acceptance, int slots, double spread) {
  return synthetic({.kinds = {Kind{std::vector<double>(static_cast<size_t>(slots), acceptance)}},
                    .spread = spread,
                    .tokens = 1000,
                    .seed = 3});
}

// first_ms for up to `flat` rows, and in proportion to rows from there.
inline Costs knee(double first_ms, int flat) {
  return Costs({{{1, first_ms}, {flat, first_ms}, {2 * flat, 2 * first_ms}}, {}});
}

// Every row costs something.
inline Costs slope() { return Costs({{{1, 2}, {8, 2.5}, {64, 16}}, {}}); }

struct Trial {
  Setup setup;
  Trial(const Recording& recording, const Costs& costs) {
    setup.recording = &recording;
    setup.costs = &costs;
    setup.seed = 1;
  }
  Figures closed(const char* policy, int concurrency, int64_t cycles = 20000) const {
    return run_closed(setup, policy_of(policy), {.concurrency = concurrency, .cycles = cycles});
  }
  Policy policy_of(const char* name) const {
    return parse_policy(name, verify::Mode::kCoupled, setup.ranks).take();
  }
};

}  // namespace dspark::simulate::testing

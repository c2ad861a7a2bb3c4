// A fleet of one or several ranks that runs requests step by step, as the engine does: requests
// that draft, a plan of verify lengths, one step of the target over all rows, what was accepted.
// Time is what the table says; everything else is counted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "simulate/costs.h"
#include "simulate/policy.h"
#include "simulate/recording.h"

namespace dspark::simulate {

// Ranks that hold requests of their own and go step by step together: how a budget that all keep to
// comes of those that each would choose.
enum class Agreement { kMinimum, kMean, kMaximum };

struct Setup {
  const Recording* recording = nullptr;
  const Costs* costs = nullptr;
  int lag = 2;    // lagged_survival is that of so many cycles ago
  int ranks = 1;  // a step takes as long as on the slowest
  Agreement agreement = Agreement::kMean;
  int prefill_chunk = 256;  // most prompt rows of a rank's step
  uint64_t seed = 0;        // which answers requests get
};

// A request to come. Its drafts go as those of one recorded answer, again from its first cycle
// where they are too few.
struct Arrival {
  double at_ms = 0;
  int prompt_tokens = 0;  // 0: it decodes at once
  int tokens = 0;         // of the answer; 0: as recorded
};

struct Figures {
  double ms = 0;
  int64_t steps = 0, tokens = 0;
  int64_t rows = 0;                    // of all steps
  int64_t cycles = 0;                  // of all requests
  int64_t drafted_cycles = 0;          // of them with computed drafts
  int64_t verified = 0, accepted = 0;  // draft rows
  int64_t decode_tokens = 0;           // committed by cycles
  double decode_ms = 0;                // of all requests together
  double running = 0;                  // requests in a step, by time
  // Of an open loop's requests, in order of arrival: from there to the first token, and the speed
  // behind it (of those with more than one).
  std::vector<double> first_token_ms = {}, tok_per_s = {};

  double total_tok_per_s() const { return ms > 0 ? 1e3 * static_cast<double>(tokens) / ms : 0; }
  double per_user_tok_per_s() const {
    return decode_ms > 0 ? 1e3 * static_cast<double>(decode_tokens) / decode_ms : 0;
  }
  double tau() const { return by_cycle(decode_tokens); }
  double budget() const { return by_cycle(verified); }  // draft rows of a request in a step
  double rows_of_step() const {
    return steps > 0 ? static_cast<double>(rows) / static_cast<double>(steps) : 0;
  }

 private:
  double by_cycle(int64_t count) const {
    return cycles > 0 ? static_cast<double>(count) / static_cast<double>(cycles) : 0;
  }
};

// `concurrency` requests at all times, dealt out over the ranks; whatever ends is followed by
// another. About `cycles` cycles are counted, after others that warm the fleet up.
struct ClosedLoop {
  int concurrency = 1;
  int64_t cycles = 200000;
  int prompt_tokens = 0, tokens = 0;  // as of Arrival
};
Figures run_closed(const Setup& setup, const Policy& policy, const ClosedLoop& loop);

// Requests as they come, until all have ended; a rank runs at most `most_running`, others wait in
// line. arrivals: by rising time, at least one. Not for priced policies: what time is worth changes
// with the requests there are.
Figures run_open(const Setup& setup, const Policy& policy, std::span<const Arrival> arrivals,
                 int most_running);

// `count` arrivals with exponential gaps.
std::vector<Arrival> poisson(double per_s, int count, int prompt_tokens, int tokens, uint64_t seed);

}  // namespace dspark::simulate

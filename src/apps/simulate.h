// The command simulate: planners over recorded outcomes and a table of costs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/json_lines.h"
#include "simulate/simulate.h"

namespace dspark::apps {

struct SimulateArguments {
  std::string outcomes;                 // a file of `eval --record`; empty: by acceptance
  std::vector<std::string> acceptance;  // a kind of request each: slots' chances, by commas
  double spread = 0.4;
  std::string costs;
  double draft_share = -1;  // of a step of as many rows as requests; < 0: the costs' own drafts
  std::vector<std::string> policies;
  std::string verify;  // empty: the recording's, or coupled
  int lag = 2, ranks = 1;
  std::string agree = "mean";
  int prompt_tokens = 0, tokens = 0;  // 0: as recorded, or 256
  int prefill_chunk = 256;
  std::vector<int> concurrency;  // empty: 1, 2, 4, .. 256
  int64_t cycles = 200000;
  std::vector<double> arrivals;  // requests a second
  int requests = 1000;
  std::string trace;
  int running = 64;
  uint64_t seed = 980406;
  std::string json_file, plots;  // empty: none
};

// What is simulated, and under which load.
struct SimulatedLoad {
  std::string name;     // in tables
  double x = 0;         // in plots
  Json json;            // what says so in a row of JSON
  int concurrency = 0;  // of a closed loop; 0: an open one
  std::vector<simulate::Arrival> arrivals = {};
};

struct Simulation {
  simulate::Recording recording;
  std::string source;  // of the recording, for people
  Json source_json;
  verify::Mode mode = verify::Mode::kCoupled;
  verify::CostPoints costs;
  std::vector<simulate::Policy> policies;
  std::vector<SimulatedLoad> loads;
  // [loads][policies]
  std::vector<std::vector<simulate::Figures>> figures = {};

  bool closed() const { return loads.front().concurrency > 0; }
  // By rising load.
  std::vector<simulate::SpeedPoint> curve(size_t policy) const;
  std::optional<size_t> find(std::string_view policy) const;
};

// What `auto` gains over another policy where both give users the same speed, or the same total.
struct Gain {
  size_t load = 0;      // auto's point
  std::string against;  // a policy, or "others": the best of those that are not bounds
  std::optional<double> total = {},
                        per_user = {};  // ratios; nothing where the other does not get so far
};

// simulate_input.cc
Result<verify::CostPoints> read_cost_points(const std::string& file, double draft_share);
Result<std::vector<simulate::Arrival>> read_trace(const std::string& file,
                                                  const SimulateArguments& arguments);
Result<Simulation> read_simulation(const SimulateArguments& arguments);

// simulate_report.cc
std::vector<Gain> gains(const Simulation& simulation);
std::string simulation_table(const Simulation& simulation);
Json simulation_json(const Simulation& simulation, const SimulateArguments& arguments);

// simulate_plots.cc
Status write_simulation_plots(const Simulation& simulation, const std::string& folder);

}  // namespace dspark::apps

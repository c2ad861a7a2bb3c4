// Counters of the server, as Prometheus reads them.
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>

#include "worker/worker.h"

namespace dspark::serve {

using worker::WorkerState;

class Histogram {
 public:
  void add(double seconds);
  std::string text(const std::string& name, const std::string& help) const;

 private:
  static constexpr std::array kBounds_s = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                           0.25,  0.5,    1.0,   2.5,  5.0,   10.0, 60.0};
  std::array<int64_t, kBounds_s.size()> counts_{};  // up to each bound, not summed
  int64_t all_ = 0;
  double sum_ = 0;
};

struct Metrics {
  void replied(const std::string& route, int status) { ++replies[{route, status}]; }
  std::string text(const WorkerState& worker) const;

  std::map<std::pair<std::string, int>, int64_t> replies;  // by route and status
  Histogram first_token, between_tokens, whole;            // of generations, seconds
  int64_t disconnects = 0, refused = 0;
  int64_t connections = 0, generations = 0;  // now
};

}  // namespace dspark::serve

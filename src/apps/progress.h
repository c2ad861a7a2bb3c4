// Progress on stderr: a bar with rate and time left on a terminal; elsewhere a line now and then,
// for work that takes more than two seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace dspark::apps {

bool stderr_is_terminal();

class Progress {
 public:
  // unit is what `done` and `total` count: "prompts", "MB". total may be 0 until the first update.
  Progress(std::string label, std::string unit);
  ~Progress();  // clears the bar

  // note: short text behind the numbers ("1523 tok/s"). Cheap when called often. Rate and time left
  // count from the first call: what an earlier run did took none of this one's time.
  void update(double done, double total, std::string_view note = {});
  // Takes the bar off the terminal, for other output; the next update draws it again.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(double done, double total, std::string_view note, double seconds) const;

  std::string label_, unit_;
  bool terminal_;
  bool begun_ = false, drawn_ = false;
  double first_ = 0;  // done at the first call
  Clock::time_point start_, next_;
};

}  // namespace dspark::apps

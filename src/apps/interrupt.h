// Ctrl-C as a flag that loops look at between steps.
#pragma once

namespace dspark::apps {

enum class SecondSignal { kEndsProgram, kIsIgnored };

// While it lives, SIGINT (with kEndsProgram SIGTERM as well) sets the flag instead of ending the
// program. One at a time.
class InterruptFlag {
 public:
  explicit InterruptFlag(SecondSignal second);
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool raised() const;
  void clear();
};

}  // namespace dspark::apps

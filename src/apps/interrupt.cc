#include "apps/interrupt.h"

#include <csignal>

#include <atomic>

namespace dspark::apps {
namespace {

std::atomic<bool> flag{false};
std::atomic<bool> second_ends{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch it");

void on_signal(int number) {
  if (flag.exchange(true) && second_ends.load()) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
}

// Without SA_RESTART: a read of the keyboard ends when the signal comes.
void install(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

}  // namespace

InterruptFlag::InterruptFlag(SecondSignal second) {
  flag = false;
  second_ends = second == SecondSignal::kEndsProgram;
  install(SIGINT, on_signal);
  if (second_ends) install(SIGTERM, on_signal);
}

InterruptFlag::~InterruptFlag() {
  install(SIGINT, SIG_DFL);
  install(SIGTERM, SIG_DFL);
}

bool InterruptFlag::raised() const { return flag.load(); }
void InterruptFlag::clear() { flag = false; }

}  // namespace dspark::apps

#include "apps/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace dspark::apps {
namespace {

using std::chrono::milliseconds;
constexpr auto kRedraw = milliseconds(100);
constexpr auto kQuiet = milliseconds(2000);  // no line before this where stderr is not a terminal
constexpr auto kBetweenLines = milliseconds(10000);
constexpr int kBarCells = 24;

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::min(seconds, 359999.0) + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string bar(double fraction) {
  const int filled = static_cast<int>(fraction * kBarCells);
  return fmt::format("[{:=<{}}{: <{}}]", "", filled, "", kBarCells - filled);
}

}  // namespace

bool stderr_is_terminal() { return isatty(STDERR_FILENO) != 0; }

Progress::Progress(std::string label, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      terminal_(stderr_is_terminal()),
      start_(Clock::now()),
      next_(start_ + (terminal_ ? kRedraw : kQuiet)) {}

Progress::~Progress() { clear(); }

void Progress::update(double done, double total, std::string_view note) {
  const auto now = Clock::now();
  if (!begun_) begun_ = true, first_ = done, start_ = now;
  if (now < next_) return;
  next_ = now + (terminal_ ? kRedraw : kBetweenLines);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string text = line(done, total, note, seconds);
  if (!terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  const auto columns = static_cast<size_t>(terminal_columns());
  if (text.size() >= columns) text.resize(columns - 1);
  fmt::print(stderr, "\r\x1b[K{}", text);
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

std::string Progress::line(double done, double total, std::string_view note, double seconds) const {
  const double fraction = total > 0 ? std::clamp(done / total, 0.0, 1.0) : 0;
  const double here = done - first_;
  std::string text = label_ + " ";
  if (terminal_) text += bar(fraction) + " ";
  text += fmt::format("{:.0f} of {:.0f} {}", done, total, unit_);
  if (!note.empty())
    text += fmt::format(", {}", note);
  else if (here > 0)
    text += fmt::format(", {:.0f} {}/s", here / seconds, unit_);
  if (here > 0 && total > 0)
    text += fmt::format(", {} left", clock_text(seconds * std::max(total - done, 0.0) / here));
  return text;
}

}  // namespace dspark::apps

#include "apps/draft_view.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace dspark::apps {
namespace {

using engine::Origin;

struct Mark {
  Origin origin;
  const char *colour, *name;  // an SGR code
  const char *open, *close;
  const char* meaning;
};
constexpr Mark kMarks[] = {
    {Origin::kAccepted, "32", "green", "[", "]", "an accepted draft"},
    {Origin::kCorrected, "33", "yellow", "{", "}", "the model's own token instead of a draft"},
    {Origin::kBonus, "36", "cyan", "<", ">", "its token after the last draft"},
};

const Mark* mark_of(Origin origin) {
  for (const Mark& mark : kMarks)
    if (mark.origin == origin) return &mark;
  return nullptr;
}

}  // namespace

DraftMarks draft_marks(bool asked) {
  if (!asked) return DraftMarks::kNone;
  const char* no_color = std::getenv("NO_COLOR");
  const bool colours = isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0');
  return colours ? DraftMarks::kColours : DraftMarks::kBrackets;
}

std::string draft_legend(DraftMarks marks) {
  std::string legend;
  if (marks == DraftMarks::kNone) return legend;
  for (const Mark& mark : kMarks) {
    const std::string shown =
        marks == DraftMarks::kColours ? mark.name : fmt::format("{} {}", mark.open, mark.close);
    legend += fmt::format("{}{}: {}", legend.empty() ? "" : ", ", shown, mark.meaning);
  }
  return legend;
}

std::string marked_text(const engine::Delta& delta, DraftMarks marks) {
  if (marks == DraftMarks::kNone) return delta.text;
  std::string text;
  for (const engine::Piece& piece : delta.pieces) {
    const Mark* mark = mark_of(piece.origin);
    if (mark == nullptr)
      text += piece.text;
    else if (marks == DraftMarks::kColours)
      text += fmt::format("\x1b[{}m{}\x1b[0m", mark->colour, piece.text);
    else
      text += mark->open + piece.text + mark->close;
  }
  return text;
}

std::string draft_summary(const engine::Completion& completion) {
  int64_t verified = 0, accepted = 0;
  for (const engine::Cycle& cycle : completion.cycles)
    verified += cycle.verified, accepted += cycle.accepted;
  const size_t cycles = completion.cycles.size();
  const double tau =
      cycles == 0 ? 1 : 1 + static_cast<double>(accepted) / static_cast<double>(cycles);
  std::string text = fmt::format("tau {:.2f}: {} cycles, {} of {} verified drafts accepted", tau,
                                 cycles, accepted, verified);
  if (verified > 0)
    text += fmt::format(" ({:.0f} %)",
                        100 * static_cast<double>(accepted) / static_cast<double>(verified));
  return text;
}

}  // namespace dspark::apps

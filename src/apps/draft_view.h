// run --show-drafts: an answer's text with every token marked by where it came from.
#pragma once

#include <string>

#include "engine/engine.h"

namespace dspark::apps {

enum class DraftMarks { kNone, kBrackets, kColours };

// Colours where standard output is a terminal and NO_COLOR is not set, else brackets.
DraftMarks draft_marks(bool asked);

// What the marks mean, for stderr; empty without marks.
std::string draft_legend(DraftMarks marks);
// The text of a step; without marks as it is.
std::string marked_text(const engine::Delta& delta, DraftMarks marks);
// "tau 2.31: 93 cycles, 122 of 212 verified drafts accepted (58 %)"
std::string draft_summary(const engine::Completion& completion);

}  // namespace dspark::apps

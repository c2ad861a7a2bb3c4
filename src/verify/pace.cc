#include "verify/pace.h"

#include <algorithm>

namespace dspark::verify {
namespace {

constexpr double kFading = 0.97;
// The usual gain counts as so many cycles of the request's own.
constexpr double kUsualWeight = 8;
// Cycles before drafting is judged: at first, and when it is tried again.
constexpr int kFirstTry = 8, kTry = 2;
constexpr int kFirstRest = 16, kLongestRest = 256;
// A new request's, where drafts of others just lose: short answers are mostly through before they
// try.
constexpr int kLosingRest = 64;

// So much above what it takes, before drafting that did not pay counts as paying: not to go to and
// fro.
constexpr double kClearly = 1.1;

}  // namespace

void Prospect::see(const DraftGain& gain) {
  gain_ = gain;
  const bool pays = gain.saved_ms >= gain.spent_ms * (pays_ ? 1 : kClearly);
  if (pays && !pays_) ++turns_;
  pays_ = pays;
}

Pace::Pace(DraftGain usual)
    : sum_(usual * kUsualWeight),
      tries_left_(usual.spent_ms > 0 ? kTry : kFirstTry),
      next_rest_(kFirstRest) {
  if (usual.saved_ms >= usual.spent_ms) return;
  sum_ = {};
  const double loss = usual.spent_ms / usual.saved_ms;  // may be infinite
  rest_ = static_cast<int>(std::min<double>(kLosingRest * loss, kLongestRest));
  next_rest_ = std::min(2 * rest_, kLongestRest);
}

void Pace::follow(const Prospect& usual) {
  if (turns_ == usual.turns()) return;
  if (rest_ > 0) *this = Pace(usual.gain());
  turns_ = usual.turns();
}

void Pace::rested() {
  if (rest_ > 0) --rest_;
}

void Pace::drafted(DraftGain cycle) {
  sum_ = sum_ * kFading;
  sum_.saved_ms += cycle.saved_ms;
  sum_.spent_ms += cycle.spent_ms;
  if (--tries_left_ > 0) return;
  if (sum_.saved_ms >= sum_.spent_ms) {
    next_rest_ = kFirstRest;
    return;
  }
  rest_ = next_rest_;
  next_rest_ = std::min(next_rest_ * 2, kLongestRest);
  sum_ = {};
  tries_left_ = kTry;
}

}  // namespace dspark::verify

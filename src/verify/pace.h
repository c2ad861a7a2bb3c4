// Whether drafting pays for a request, from how its last drafts went.
#pragma once

namespace dspark::verify {

// Milliseconds that accepted drafts saved, and that drafting and the rows verified took.
struct DraftGain {
  double saved_ms = 0, spent_ms = 0;
  DraftGain operator*(double factor) const { return {saved_ms * factor, spent_ms * factor}; }
};

// What a step's rows and drafts cost, to say what each cycle in it gained.
struct StepCosts {
  double plain_ms = 0;  // of the step without drafts
  int requests = 0;     // that decode in it
  double row_ms = 0;    // of a verified row
  double draft_ms = 0;  // of a request's drafts
  // What a draft saves is a part of a step without prompts; its row lies on top of all others.
  // target_ms(rows): of the target's step. prompt_rows: how many with logits take as long.
  template <class TargetMs>
  static StepCosts of(const TargetMs& target_ms, int requests, int prompt_rows, int verified) {
    const int others = requests + prompt_rows;
    return {target_ms(requests), requests,
            verified > 0 ? (target_ms(others + verified) - target_ms(others)) / verified : 0, 0};
  }
  DraftGain gain(int accepted, int verified) const {
    return {accepted * plain_ms / requests, draft_ms + verified * row_ms};
  }
};

// Whether drafting usually pays under the present load.
class Prospect {
 public:
  void see(const DraftGain& gain);
  const DraftGain& gain() const { return gain_; }
  // Goes up where drafting begins to pay, having not: then requests that rest are to try again.
  int turns() const { return turns_; }

 private:
  DraftGain gain_;
  bool pays_ = true;
  int turns_ = 0;
};

// Drafting rests when what drafts saved is less than what they took, and is tried again after a
// while that doubles each time. A request that gains drafts at every cycle.
class Pace {
 public:
  Pace() : Pace(DraftGain{}) {}
  // usual: what others' cycles gain on average, zeros: not known. Where they lose it rests first,
  // the longer the more they lose.
  explicit Pace(DraftGain usual);
  explicit Pace(const Prospect& usual) : Pace(usual.gain()) { turns_ = usual.turns(); }
  // Begins anew where it rests and drafting has begun to pay.
  void follow(const Prospect& usual);
  bool drafts() const { return rest_ == 0; }
  void rested();  // a cycle without drafts has passed
  void drafted(DraftGain cycle);

 private:
  DraftGain sum_;  // of cycles past, fading
  int tries_left_;
  int rest_ = 0, next_rest_;
  int turns_ = 0;  // of the prospect, when it was last looked at
};

}  // namespace dspark::verify

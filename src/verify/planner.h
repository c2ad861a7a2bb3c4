// Planners: how many of each request's drafts the target checks in a step.
#pragma once

#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "verify/mode.h"

namespace dspark::verify {

// What rows cost. The table measured on a machine is one of these; steps per second sps[B] of B
// rows are another: step_ms(B) = 1000 / sps[B].
class StepCost {
 public:
  virtual ~StepCost() = default;
  // Milliseconds, > 0, of a cycle whose target step has this many rows, drafting included.
  virtual double step_ms(int rows) const = 0;
};

// What a step costs those who decode in it: all but what the rows of prompts add to it, which come
// whatever is planned. Counted in, their time would make each token of this one step look dear, and
// drafts worth their rows that save less time in later steps than they take here.
class WithoutPrompts : public StepCost {
 public:
  // decoding: requests that bring an anchor.
  WithoutPrompts(const StepCost& step, int decoding, int prompt_rows)
      : step_(step),
        prompts_ms_(
            prompt_rows == 0 ? 0 : step.step_ms(decoding + prompt_rows) - step.step_ms(decoding)) {}
  double step_ms(int rows) const override { return step_.step_ms(rows) - prompts_ms_; }

 private:
  const StepCost& step_;
  double prompts_ms_;
};

// One request of a step, after drafting.
struct RequestView {
  int drafted = 0;                              // slots that have a draft
  int limit = std::numeric_limits<int>::max();  // verify at most so many: room, tokens left to make
  // Calibrated; [>= drafted], or empty where the planner doesn't need them (needs()).
  std::span<const double> confidence;
  std::span<const double> survival;  // not increasing
  // As survival was, two steps ago or before, for the slots of that step; empty for a request that
  // had none.
  std::span<const double> lagged_survival;
};

struct StepView {
  std::span<const RequestView> requests;           // each brings its anchor's row
  int other_rows = 0;                              // rows of the step besides those: prompt chunks
  int max_rows = std::numeric_limits<int>::max();  // of the step, all counted
};

// Why a step has the verify lengths that it has: for logs and metrics.
struct Plan {
  int rows = 0;                // of the step: anchors, others, verified slots
  double expected_tokens = 0;  // anchors + survival of the verified slots that have one
  double tokens_per_ms = 0;    // the expectation at step_ms(rows)
  int evaluated = 0;           // slots whose gain was looked at, or whose confidence
  int budget = -1;             // lagged: draft rows allowed, else -1
};

enum class PlannerKind { kOff, kFixed, kThreshold, kCausal, kLagged, kGlobal };

// As the command line has it: off, fixed:N, threshold:P, causal, lagged, global.
struct PlannerSpec {
  PlannerKind kind = PlannerKind::kOff;
  int length = 0;        // of fixed: >= 1
  double threshold = 0;  // of threshold: in [0, 1]
};
// Errors name the nearest valid planner or value.
Result<PlannerSpec> parse_planner(std::string_view text);
std::string planner_name(const PlannerSpec& spec);  // parse_planner reads it back
// Its length for a request depends on that request alone.
inline bool is_by_request(PlannerKind kind) {
  return kind == PlannerKind::kOff || kind == PlannerKind::kFixed ||
         kind == PlannerKind::kThreshold;
}

// One object plans all steps of an engine, in one thread; plan() allocates only while its buffers
// grow. All decide slot by slot in one order, ties to the smaller slot, then the smaller request.
//   off        no drafts
//   fixed      the first N
//   threshold  those before the first with confidence below P (spec C.3: not the product)
//   causal     Algorithm 1 (spec F): slots by falling survival for as long as tokens per ms rise;
//              the first that lowers them is the end, for all requests
//   lagged     the production form: as many slots as would have been best by the lagged survival,
//              given to the slots of the largest survival now
//   global     the best number of slots by survival now
// All but global decide about a slot by what is known before its token is drawn, and so keep the
// distribution in every mode of verification, as long as `drafted`, `limit` and max_rows do.
class Planner {
 public:
  struct Needs {
    bool confidence = false, survival = false, lagged_survival = false;
  };

  virtual ~Planner() = default;
  // lengths: [requests], set to the verify lengths, each at most drafted and limit.
  virtual Plan plan(const StepView& step, const StepCost& cost, std::span<int> lengths) = 0;
  virtual Needs needs() const = 0;
  // Slots of a request that it may verify; more are not worth drafting.
  virtual int most_length() const { return std::numeric_limits<int>::max(); }
};

// An error for global under rejection and block verification, where it would change the text.
Result<std::unique_ptr<Planner>> make_planner(const PlannerSpec& spec, Mode mode);

}  // namespace dspark::verify

#include "verify/planner.h"

#include "verify/planners.h"

namespace dspark::verify {

int plain_rows(const StepView& step) {
  return static_cast<int>(step.requests.size()) + step.other_rows;
}

Result<std::unique_ptr<Planner>> make_planner(const PlannerSpec& spec, Mode mode) {
  switch (spec.kind) {
    case PlannerKind::kOff:
      return make_off();
    case PlannerKind::kFixed:
      return make_fixed(spec.length);
    case PlannerKind::kThreshold:
      return make_threshold(spec.threshold);
    case PlannerKind::kCausal:
      return make_causal();
    case PlannerKind::kLagged:
      return make_lagged();
    case PlannerKind::kGlobal:
      if (!ignores_drafts(mode))
        return fail(
            "planner global would change the text under {} verification: it decides about a slot "
            "by what follows from its token; the nearest planner is causal, the nearest mode "
            "coupled",
            mode_name(mode));
      return make_global();
  }
  CHECK(false, "planner {}", static_cast<int>(spec.kind));
}

}  // namespace dspark::verify

#include "simulate/policy.h"

namespace dspark::simulate {

using verify::PlannerKind;

bool Policy::has_budget() const {
  return planner.kind == PlannerKind::kCausal || planner.kind == PlannerKind::kLagged ||
         planner.kind == PlannerKind::kGlobal;
}

Result<Policy> parse_policy(std::string_view text, verify::Mode mode, int ranks) {
  const bool free = verify::ignores_drafts(mode);
  if (text == "ideal") return Policy{"ideal", {PlannerKind::kGlobal}, true, true, false};
  if (text == "oracle") return Policy{"oracle", {PlannerKind::kGlobal}, false, true, true};
  if (text == "auto") {
    const PlannerKind kind = free        ? PlannerKind::kGlobal
                             : ranks > 1 ? PlannerKind::kLagged
                                         : PlannerKind::kCausal;
    return Policy{"auto", {kind}, true, false, false};
  }
  const std::string_view word = text.substr(0, text.find(':'));
  const std::string nearest = nearest_word(
      word, {"off", "fixed", "threshold", "causal", "lagged", "global", "auto", "ideal", "oracle"});
  if (nearest == "auto" || nearest == "ideal" || nearest == "oracle")
    return fail("unknown policy '{}', the nearest is {}", text, nearest);
  DSPARK_TRY(const verify::PlannerSpec spec, verify::parse_planner(text));
  DSPARK_TRY([[maybe_unused]] const auto legal, verify::make_planner(spec, mode));
  if (spec.kind == PlannerKind::kCausal && ranks > 1 && !free)
    return fail(
        "policy causal: a budget that ranks agree on would depend on tokens already drawn, which "
        "changes the text under {} verification; the nearest is lagged",
        verify::mode_name(mode));
  return Policy{verify::planner_name(spec), spec};
}

}  // namespace dspark::simulate

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "verify/planner.h"

namespace dspark::verify {
namespace {

struct Named {
  const char* name;
  PlannerKind kind;
};
constexpr Named kPlain[] = {{"off", PlannerKind::kOff},
                            {"causal", PlannerKind::kCausal},
                            {"lagged", PlannerKind::kLagged},
                            {"global", PlannerKind::kGlobal}};

template <class Number>
bool parse_number(std::string_view text, Number* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

Result<PlannerSpec> parse_fixed(std::string_view text, std::string_view number) {
  PlannerSpec spec{PlannerKind::kFixed, 0, 0};
  if (!parse_number(number, &spec.length))
    return fail("planner '{}': the length is '{}', expected a whole number, as in fixed:4", text,
                number);
  if (spec.length < 1)
    return fail("planner '{}': the length is {}, expected 1 or more; the nearest is {}", text,
                spec.length, spec.length == 0 ? "off" : "fixed:1");
  return spec;
}

Result<PlannerSpec> parse_threshold(std::string_view text, std::string_view number) {
  PlannerSpec spec{PlannerKind::kThreshold, 0, 0};
  if (!parse_number(number, &spec.threshold) || std::isnan(spec.threshold))
    return fail("planner '{}': the threshold is '{}', expected a number, as in threshold:0.5", text,
                number);
  if (spec.threshold < 0 || spec.threshold > 1)
    return fail("planner '{}': the threshold is {}, expected 0 to 1; the nearest is threshold:{}",
                text, spec.threshold, spec.threshold < 0 ? 0 : 1);
  return spec;
}

}  // namespace

Result<PlannerSpec> parse_planner(std::string_view text) {
  for (const Named& plain : kPlain)
    if (text == plain.name) return PlannerSpec{plain.kind, 0, 0};
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, colon);
  const bool has_number = colon < text.size();
  const std::string_view number = has_number ? text.substr(colon + 1) : std::string_view();
  if (name == "fixed") return parse_fixed(text, number);
  if (name == "threshold") return parse_threshold(text, number);
  if (has_number)
    for (const Named& plain : kPlain)
      if (name == plain.name)
        return fail("planner '{}': {} takes no number; the nearest is {}", text, name, name);

  std::vector<std::string> names{"fixed", "threshold"};
  for (const Named& plain : kPlain) names.emplace_back(plain.name);
  std::string nearest = nearest_word(name, names);
  if (nearest == "fixed") nearest += ":N";
  if (nearest == "threshold") nearest += ":P";
  return fail(
      "unknown planner '{}', the nearest is {} (of off, fixed:N, threshold:P, causal, lagged, "
      "global)",
      text, nearest);
}

std::string planner_name(const PlannerSpec& spec) {
  for (const Named& plain : kPlain)
    if (spec.kind == plain.kind) return plain.name;
  if (spec.kind == PlannerKind::kFixed) return fmt::format("fixed:{}", spec.length);
  return fmt::format("threshold:{}", spec.threshold);
}

}  // namespace dspark::verify

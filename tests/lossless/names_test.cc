// Names of planners and modes, and errors that name the nearest valid one.
#include <gtest/gtest.h>

#include "verify/verify.h"

namespace dspark::verify {
namespace {

std::string planner_error(std::string_view text) {
  const auto parsed = parse_planner(text);
  return parsed.ok() ? "no error" : parsed.message();
}

bool names(const std::string& message, const std::string& nearest) {
  return message.find("nearest is " + nearest) != std::string::npos;
}

TEST(PlannerNames, AreReadBack) {
  for (const char* name : {"off", "fixed:1", "fixed:12", "threshold:0.5", "threshold:0",
                           "threshold:1", "threshold:0.05", "causal", "lagged", "global"}) {
    const auto parsed = parse_planner(name);
    ASSERT_TRUE(parsed.ok()) << parsed.message();
    EXPECT_EQ(planner_name(parsed.value()), name);
  }
  EXPECT_EQ(parse_planner("fixed:12").value().length, 12);
  EXPECT_EQ(parse_planner("threshold:0.25").value().threshold, 0.25);
}

TEST(PlannerNames, ErrorsNameTheNearest) {
  EXPECT_TRUE(names(planner_error("casual"), "causal"));
  EXPECT_TRUE(names(planner_error("fxed:3"), "fixed:N"));
  EXPECT_TRUE(names(planner_error("thresh"), "threshold:P"));
  EXPECT_TRUE(names(planner_error("of"), "off"));
  EXPECT_TRUE(names(planner_error("causal:2"), "causal"));
  EXPECT_TRUE(names(planner_error("fixed:0"), "off"));
  EXPECT_TRUE(names(planner_error("fixed:-2"), "fixed:1"));
  EXPECT_TRUE(names(planner_error("threshold:1.5"), "threshold:1"));
  EXPECT_TRUE(names(planner_error("threshold:-1"), "threshold:0"));
  for (const char* text :
       {"fixed", "fixed:", "fixed:x", "fixed:3x", "fixed:3.5", "fixed: 3", "fixed:99999999999"})
    EXPECT_NE(planner_error(text).find("fixed:4"), std::string::npos) << text;
  for (const char* text : {"threshold", "threshold:", "threshold:x", "threshold:nan"})
    EXPECT_NE(planner_error(text).find("threshold:0.5"), std::string::npos) << text;
  for (const char* text : {"", ":", "Off", "auto"})
    EXPECT_NE(planner_error(text).find("unknown planner"), std::string::npos) << text;
}

TEST(ModeNames, AreReadBack) {
  for (const Mode mode : {Mode::kGreedy, Mode::kCoupled, Mode::kRejection, Mode::kBlock})
    EXPECT_EQ(parse_mode(mode_name(mode)).value(), mode);
  EXPECT_TRUE(names(parse_mode("reject").message(), "rejection"));
  EXPECT_TRUE(names(parse_mode("cuopled").message(), "coupled"));
}

TEST(ModeNames, GreedyNeedsTemperatureZero) {
  sample::Params params;
  EXPECT_TRUE(check_mode(Mode::kGreedy, params).ok());
  params.temperature = 0.5f;
  EXPECT_NE(check_mode(Mode::kGreedy, params).message().find("0.5"), std::string::npos);
  EXPECT_TRUE(check_mode(Mode::kCoupled, params).ok());
}

}  // namespace
}  // namespace dspark::verify

// config.json: checked access by dotted paths, and JSON that is none.
#include "formats/hf_config.h"

#include <gtest/gtest.h>

#include "scratch_folder.h"

namespace dspark::formats {
namespace {

constexpr const char* kConfig = R"({
  "model_type": "qwen3", "hidden_size": 1024, "rope_theta": 1e6, "eps": 1e-06, "tied": true,
  "nothing": null, "layers": [1, 8, 15], "mixed": [1, "a"], "scales": [0.5, 2], "half": 0.5,
  "huge": 18446744073709551615, "far": 1e300,
  "rope_parameters": {"rope_theta": 10000.0, "inner": {"factor": 8}},
  "types": ["full", "sliding"]
})";

TEST(JsonConfig, ReadsByDottedPath) {
  auto config = JsonConfig::parse(kConfig, "config.json");
  ASSERT_TRUE(config.ok()) << config.message();
  EXPECT_EQ(*config->string("model_type"), "qwen3");
  EXPECT_EQ(*config->integer("hidden_size"), 1024);
  EXPECT_EQ(*config->integer("rope_theta"), 1'000'000);  // a float that is an integer
  EXPECT_EQ(*config->number("hidden_size"), 1024);
  EXPECT_EQ(*config->number("eps"), 1e-6);
  EXPECT_EQ(*config->number("rope_parameters.rope_theta"), 10000);
  EXPECT_EQ(*config->integer("rope_parameters.inner.factor"), 8);
  EXPECT_EQ(*config->boolean("tied", false), true);
  EXPECT_EQ(*config->integers("layers"), (std::vector<int64_t>{1, 8, 15}));
  EXPECT_EQ(*config->numbers("scales"), (std::vector<double>{0.5, 2}));
  EXPECT_TRUE(config->has("rope_parameters"));
  EXPECT_FALSE(config->has("nothing"));
  EXPECT_FALSE(config->has("hidden_size.x"));
  EXPECT_FALSE(config->has(""));
  EXPECT_FALSE(config->has("."));
  EXPECT_EQ(*config->integer("nothing", 3), 3);
  EXPECT_EQ(*config->number("absent", 0.25), 0.25);
  EXPECT_EQ(*config->boolean("absent", true), true);
  EXPECT_EQ(*config->string("absent", "x"), "x");
  EXPECT_EQ(config->json()["types"].size(), 2u);
}

TEST(JsonConfig, ErrorsNameFileKeyAndTypes) {
  auto config = JsonConfig::parse(kConfig, "config.json");
  ASSERT_TRUE(config.ok()) << config.message();
  EXPECT_EQ(config->integer("absent").message(), "config.json: key 'absent' is missing");
  EXPECT_EQ(config->integer("nothing").message(), "config.json: key 'nothing' is missing");
  EXPECT_EQ(config->integer("half").message(),
            "config.json: key 'half': expected a 64-bit integer, found number 0.5");
  EXPECT_EQ(config->integer("half", 1).message(), config->integer("half").message());
  EXPECT_FALSE(config->integer("huge").ok());
  EXPECT_FALSE(config->integer("far").ok());
  EXPECT_EQ(config->number("model_type").message(),
            "config.json: key 'model_type': expected a number, found string");
  EXPECT_EQ(config->boolean("half", true).message(),
            "config.json: key 'half': expected true or false, found number 0.5");
  EXPECT_EQ(config->string("tied").message(),
            "config.json: key 'tied': expected a string, found boolean");
  EXPECT_EQ(config->integers("mixed").message(),
            "config.json: key 'mixed[1]': expected a 64-bit integer, found string");
  EXPECT_EQ(config->numbers("mixed").message(),
            "config.json: key 'mixed[1]': expected a number, found string");
  EXPECT_EQ(config->integers("tied").message(),
            "config.json: key 'tied': expected an array of integers, found boolean");
}

TEST(JsonConfig, RefusesWhatIsNoObject) {
  const std::string deep = std::string(70, '[') + std::string(70, ']');
  const std::pair<std::string, std::string> cases[] = {
      {"", "line 1, column 1"},
      {"[1]", "expected a JSON object, found array"},
      {"3", "expected a JSON object, found number"},
      {"{\"a\": 1,\n \"b\" 2}", "line 2, column"},
      {"{\"a\": 1} x", "not valid JSON"},
      {"{\"a\": NaN}", "not valid JSON"},
      {"{\"a\": 1e999}", "not valid JSON"},
      {"{\"a\": \"\xff\"}", "not valid JSON"},
      {"{\"a\": \"\\ud800\"}", "not valid JSON"},
      {"{\"a\": " + deep + "}", "nested deeper than 64 levels"},
      {std::string(1'000'000, '{'), "nested deeper than 64 levels"},
  };
  for (const auto& [text, expected] : cases) {
    auto config = JsonConfig::parse(text, "bad.json");
    ASSERT_FALSE(config.ok()) << text.substr(0, 80);
    EXPECT_TRUE(config.message().starts_with("bad.json: ")) << config.message();
    EXPECT_NE(config.message().find(expected), std::string::npos) << config.message();
  }
  const std::string brackets = "{\"a\": \"" + std::string(100, '[') + "\\\"" + "\"}";
  EXPECT_TRUE(JsonConfig::parse(brackets, "x").ok());  // brackets in a string do not nest
}

TEST(JsonConfig, EveryPrefixIsRefused) {
  const std::string whole = kConfig;
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(JsonConfig::parse(whole.substr(0, length), "x").ok()) << length;
}

TEST(JsonConfig, OpensFiles) {
  const ScratchFolder folder;
  folder.write("config.json", kConfig);
  auto config = JsonConfig::open(folder / "config.json");
  ASSERT_TRUE(config.ok()) << config.message();
  EXPECT_EQ(config->name(), (folder / "config.json").string());
  EXPECT_NE(JsonConfig::open(folder / "absent.json").message().find("absent.json"),
            std::string::npos);
}

}  // namespace
}  // namespace dspark::formats

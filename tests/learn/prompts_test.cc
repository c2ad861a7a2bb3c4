// Prompt files, and what tells contents apart.
#include <set>

#include "learn/support.h"

namespace dspark::learn {
namespace {

TEST(Prompts, BothKindsOfRows) {
  const ScratchFolder folder;
  folder.write("p.jsonl",
               R"({"id":"a","turns":["x","y"],"license":"CC0"})"
               "\n\n"
               R"({"conversations":[{"role":"system","content":"s"},{"from":"human","value":"h"},)"
               R"({"from":"gpt","value":"old"},{"role":"user","content":"u"}]})"
               "\n"
               R"({"id":-5,"turns":[""]})");
  const auto set = read_prompts(folder / "p.jsonl", true);
  ASSERT_TRUE(set.ok()) << set.message();
  const auto& rows = set.value().rows;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].id, "a");
  EXPECT_EQ(rows[0].turns, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(rows[1].id, "3");
  EXPECT_EQ(rows[1].line, 3u);
  EXPECT_EQ(rows[1].turns, (std::vector<std::string>{"h", "u"}));
  EXPECT_EQ(rows[2].id, "-5");
}

TEST(Prompts, BadRowsAreCountedOrRefused) {
  const ScratchFolder folder;
  folder.write("p.jsonl", R"({"id":"a","turns":["x"]})"
                          "\n"
                          R"({"id":"a","turns":["y"]})"
                          "\nnone\n"
                          R"({"id":"b","turns":[]})"
                          "\n"
                          R"({"id":"c","turns":[1]})"
                          "\n"
                          R"({"id":"d"})"
                          "\n"
                          R"({"conversations":[{"role":"assistant","content":"u"}]})");
  const auto set = read_prompts(folder / "p.jsonl", false);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set.value().rows.size(), 1u);
  const Faults& faults = set.value().faults;
  ASSERT_EQ(faults.count, 6);
  const char* parts[] = {"that of line 1",       "not valid JSON",
                         "at least one string",  "\"turns\"[0]: expected a string, found a number",
                         "\"turns\" is missing", "a turn of the user"};
  for (size_t i = 0; i < 6; ++i)
    expect_error(faults.first[i], {fmt::format("p.jsonl:{}: ", i + 2), parts[i]});
  const auto strict = read_prompts(folder / "p.jsonl", true);
  ASSERT_FALSE(strict.ok());
  expect_error(strict.message(), {"p.jsonl:2: "});
  folder.write("empty.jsonl", "\n");
  EXPECT_FALSE(read_prompts(folder / "empty.jsonl", false).ok());
}

TEST(Prompts, DigestIsOfTheBytes) {
  const ScratchFolder folder;
  const auto digest = [&](const std::string& text) {
    folder.write("p.jsonl", text);
    auto set = read_prompts(folder / "p.jsonl", false);
    return set ? set->digest : set.message();
  };
  std::set<std::string> seen;
  for (const char* text : {R"({"turns":["a"]})", R"({"turns":["b"]})", R"({"turns": ["a"]})"})
    EXPECT_TRUE(seen.insert(digest(text)).second) << text;
}

TEST(RowHash, DependsOnSeedAndId) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 10; ++seed)
    for (int id = 0; id < 100; ++id) seen.insert(row_hash(seed, fmt::format("row-{}", id)));
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_EQ(row_hash(42, "train-00000"), row_hash(42, "train-00000"));
}

TEST(WeightsDigest, SeesEveryFileOfSmallModels) {
  const ScratchFolder folder;
  folder.write("m.gguf", "weights");
  const auto one = weights_digest(folder / "m.gguf");
  folder.write("m.gguf", "Weights");
  const auto two = weights_digest(folder / "m.gguf");
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(one.value(), two.value());
  EXPECT_FALSE(weights_digest(folder.path()).ok());
  folder.write("model.safetensors", "x");
  EXPECT_TRUE(weights_digest(folder.path()).ok());
  EXPECT_FALSE(weights_digest(folder / "none").ok());
}

}  // namespace
}  // namespace dspark::learn

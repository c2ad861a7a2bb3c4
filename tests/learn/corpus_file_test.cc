// A corpus being written: torn, resumed, sorted; and the options beside it.
#include <sys/resource.h>

#include <csignal>

#include "learn/support.h"

namespace dspark::learn {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<std::string> kIds = {"a", "b", "c", "d"};

std::string line_of(const std::string& id) {
  return R"({"id":")" + id + R"(","text":"of )" + id + "\"}";
}

std::string text_of(const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += line_of(id) + "\n";
  return text;
}

CorpusFile open(const ScratchFolder& folder, const std::vector<std::string>& ids = kIds) {
  auto file = CorpusFile::open(folder / "c.jsonl", ids);
  CHECK(file.ok(), "{}", file.message());
  return file.take();
}

void append(CorpusFile& file, size_t row) {
  const Status status = file.append(row, line_of(kIds[row]));
  CHECK(status.ok(), "{}", status.message());
}

TEST(CorpusFile, EndsInOrder) {
  const ScratchFolder folder;
  {
    CorpusFile file = open(folder);
    for (const size_t row : {2, 0, 3, 1}) append(file, row);
    EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text_of({"c", "a", "d", "b"}));
    ASSERT_TRUE(file.sort().ok());
  }
  EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text_of(kIds));
  EXPECT_EQ(folder.entries(), 1u);
  CorpusFile again = open(folder);
  EXPECT_EQ(again.rows_done(), 4u);
  ASSERT_TRUE(again.sort().ok());
  EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text_of(kIds));
}

TEST(CorpusFile, GoesOnFromEveryPrefix) {
  const ScratchFolder folder;
  const std::string text = text_of({"c", "a", "d", "b"});
  for (size_t bytes = 0; bytes <= text.size(); ++bytes) {
    folder.write("c.jsonl", text.substr(0, bytes));
    folder.write("c.jsonl.tmp", "what a killed process left");
    CorpusFile file = open(folder);
    EXPECT_EQ(file.rows_done(), bytes / (line_of("a").size() + 1));
    for (size_t row = 0; row < kIds.size(); ++row)
      if (!file.done(row)) append(file, row);
    ASSERT_TRUE(file.sort().ok());
    EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text_of(kIds)) << bytes;
  }
}

TEST(CorpusFile, RowsLeftOutLeaveNoHole) {
  const ScratchFolder folder;
  CorpusFile file = open(folder);
  append(file, 3);
  append(file, 1);
  ASSERT_TRUE(file.sort().ok());
  EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text_of({"b", "d"}));
}

TEST(CorpusFile, RefusesWhatIsNotItsOwn) {
  const ScratchFolder folder;
  const auto error = [&](const std::string& text) {
    folder.write("c.jsonl", text);
    const auto file = CorpusFile::open(folder / "c.jsonl", kIds);
    EXPECT_FALSE(file.ok());
    EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text);
    return file.ok() ? std::string() : file.message();
  };
  expect_error(error(text_of({"a", "x", "b"})), {"c.jsonl:2: ", "found 'x'"});
  expect_error(error(text_of({"a", "b", "a"})), {"c.jsonl:3: ", "a second time"});
  expect_error(error(line_of("a") + "\nnonsense\n" + line_of("b") + "\n"), {"c.jsonl:2: "});
}

TEST(CorpusFile, HasOneWriter) {
  const ScratchFolder folder;
  CorpusFile file = open(folder);
  append(file, 0);
  const auto second = CorpusFile::open(folder / "c.jsonl", kIds);
  ASSERT_FALSE(second.ok());
  expect_error(second.message(), {"another process"});
  CorpusFile moved = std::move(file);
  append(moved, 1);
  EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text_of({"a", "b"}));
}

TEST(CorpusFile, AFullDiskIsAnErrorAndLosesNothing) {
  const ScratchFolder folder;
  {
    CorpusFile file = open(folder);
    append(file, 1);
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit old{}, low{};
    getrlimit(RLIMIT_FSIZE, &old);
    low = old;
    low.rlim_cur = line_of("a").size() + 10;
    setrlimit(RLIMIT_FSIZE, &low);
    const Status status = file.append(0, line_of("a"));
    setrlimit(RLIMIT_FSIZE, &old);
    ASSERT_FALSE(status.ok());
    expect_error(status.message(), {"c.jsonl: cannot write"});
  }
  CorpusFile file = open(folder);
  EXPECT_EQ(file.rows_done(), 1u);
  EXPECT_TRUE(file.done(1));
  EXPECT_EQ(tokenizer::read_all(folder / "c.jsonl"), text_of({"b"}));
}

TEST(CorpusOptions, DifferencesAreNamed) {
  const ScratchFolder folder;
  const auto corpus = folder / "c.jsonl";
  const Json options = {{"seed", 1}, {"temperatures", {0.0, 1.0}}, {"model", "m"}};
  ASSERT_TRUE(settle_corpus_options(corpus, options, false).ok());
  EXPECT_TRUE(settle_corpus_options(corpus, options, true).ok());
  Json other = options;
  other["seed"] = 2;
  other.erase("model");
  other["top_k"] = 3;
  const Status refused = settle_corpus_options(corpus, other, true);
  ASSERT_FALSE(refused.ok());
  expect_error(refused.message(), {"c.jsonl: ", "seed was 1, now 2",
                                   "model was \"m\", now not given", "top_k was not given, now 3"});
  EXPECT_EQ(refused.message().find("temperatures"), std::string::npos);
  for (const char* broken :
       {"", "[]", "{}", R"({"version":1})", R"({"version":2,"options":{}})", "{\"version\":"}) {
    folder.write("c.jsonl.meta.json", broken);
    EXPECT_FALSE(settle_corpus_options(corpus, options, true).ok()) << broken;
  }
  std::filesystem::remove(folder / "c.jsonl.meta.json");
  EXPECT_FALSE(settle_corpus_options(corpus, options, true).ok());
}

}  // namespace
}  // namespace dspark::learn

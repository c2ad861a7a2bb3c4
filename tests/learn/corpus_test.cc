// Corpora read: rows with ids, rows to be rendered, rows that are wrong.
#include <algorithm>

#include "learn/support.h"

namespace dspark::learn {
namespace {

struct Read {
  std::vector<Example> examples;
  ReadCounts counts;
};

Read read_all(const ScratchFolder& folder, const std::string& text, ReadOptions options = {},
              const tokenizer::Tokenizer* tokenizer = nullptr) {
  folder.write("corpus.jsonl", text);
  auto reader = CorpusReader::open(folder / "corpus.jsonl", options, tokenizer);
  CHECK(reader.ok(), "{}", reader.message());
  Read read;
  for (Example example;;) {
    auto more = reader->next(example);
    CHECK(more.ok(), "{}", more.message());
    if (!*more) break;
    read.examples.push_back(example);
  }
  read.counts = reader->counts();
  return read;
}

TEST(CorpusRow, RoundTrip) {
  CorpusRow row;
  row.id = "a \"quoted\" id";
  row.conversations = {{"user", "Grüße\n"}, {"assistant", "\xf0\x9f\x98\x80"}};
  row.temperature = 0.7;
  row.seed = (uint64_t{1} << 53) - 1;
  row.finish = "length";
  row.ids = {0, 1, 2147483647};
  row.loss = {{0, 1}, {2, 3}};
  const std::string line = to_line(row);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto back = parse_corpus_row(line, 1, "f:1");
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_EQ(to_line(back.value()), line);
  EXPECT_EQ(back.value().loss, row.loss);
  EXPECT_EQ(back.value().seed, row.seed);
}

TEST(Corpus, RowsWithIds) {
  const ScratchFolder folder;
  const Read read = read_all(folder,
                             R"({"id":"a","temperature":1,"ids":[5,6,7,8],"loss":[[1,2],[3,4]]})"
                             "\n\n"
                             R"({"id":7,"ids":[1,2,3,4,5,6],"loss":[[0,6]]})",
                             {.max_length = 4, .min_loss_tokens = 1});
  ASSERT_EQ(read.examples.size(), 2u);
  EXPECT_EQ(read.examples[0].ids, (std::vector<int32_t>{5, 6, 7, 8}));
  EXPECT_EQ(read.examples[0].loss_mask, (std::vector<uint8_t>{0, 1, 0, 1}));
  EXPECT_EQ(read.examples[0].temperature, 1);
  EXPECT_EQ(read.examples[1].id, "7");
  EXPECT_EQ(read.examples[1].ids, (std::vector<int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(read.examples[1].temperature, -1);
  EXPECT_EQ(read.counts.cut_rows, 1);
}

TEST(Corpus, RowsWithFewLossTokensAreLeftOut) {
  const ScratchFolder folder;
  const std::string ids = "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]";
  const Read read = read_all(folder, R"({"ids":)" + ids +
                                         R"(,"loss":[[2,15]]})"
                                         "\n"
                                         R"({"ids":)" +
                                         ids +
                                         R"(,"loss":[[2,16]]})"
                                         "\n");
  EXPECT_EQ(read.counts.short_rows, 1);
  ASSERT_EQ(read.examples.size(), 1u);
  EXPECT_EQ(read.examples[0].id, "2");
}

TEST(Corpus, DeepSpecsRowsAreRendered) {
  const ScratchFolder folder;
  const auto tokenizer = tokenizer_with(folder, kTinyTemplate);
  const std::string line =
      R"({"id":"d","status":"success","conversations":[{"role":"user","content":"Hi"},)"
      R"({"role":"assistant","content":"Hello there, and good day."}]})";
  const Read read = read_all(folder, line, {.min_loss_tokens = 1}, &tokenizer);
  ASSERT_EQ(read.examples.size(), 1u)
      << (read.counts.faults.count ? read.counts.faults.first[0] : "");
  std::vector<int32_t> trained;
  for (size_t i = 0; i < read.examples[0].ids.size(); ++i)
    if (read.examples[0].loss_mask[i]) trained.push_back(read.examples[0].ids[i]);
  EXPECT_EQ(tokenizer.decode(trained, true), "Hello there, and good day.<|im_end|>\n");
  // Without a model it is a bad row.
  EXPECT_EQ(read_all(folder, line).counts.faults.count, 1);
  // Cut rows are counted here as well.
  EXPECT_EQ(
      read_all(folder, line, {.max_length = 12, .min_loss_tokens = 1}, &tokenizer).counts.cut_rows,
      1);
}

TEST(Corpus, BadRowsAreNamed) {
  const ScratchFolder folder;
  const std::pair<const char*, const char*> bad[] = {
      {"{", "not valid JSON"},
      {"[1]", "expected an object, found an array"},
      {"{}", "\"conversations\" is missing"},
      {R"({"id":[],"ids":[1],"loss":[]})", "\"id\": expected a string or a whole number"},
      {R"({"ids":[],"loss":[]})", "at least one token id"},
      {R"({"ids":[1,-1],"loss":[]})", "\"ids\"[1]: expected a token id, found -1"},
      {R"({"ids":[1,2.5],"loss":[]})", "\"ids\"[1]: expected a token id"},
      {R"({"ids":[4294967296],"loss":[]})", "\"ids\"[0]: expected a token id"},
      {R"({"ids":[100],"loss":[]})", "expected token ids below 100"},
      {R"({"ids":"1","loss":[]})", "expected an array of token ids, found a string"},
      {R"({"ids":[1,2]})", "\"loss\" is missing"},
      {R"({"ids":[1,2],"loss":[1,2]})", "\"loss\"[0]: expected [begin, end]"},
      {R"({"ids":[1,2],"loss":[[0,3]]})", "\"loss\"[0]: expected [begin, end]"},
      {R"({"ids":[1,2],"loss":[[1,1]]})", "\"loss\"[0]"},
      {R"({"ids":[1,2],"loss":[[1,2],[0,1]]})", "\"loss\"[1]"},
      {R"({"ids":[1,2],"loss":[[-1,2]]})", "\"loss\"[0]"},
      {R"({"ids":[1,2],"loss":[[0,1,2]]})", "\"loss\"[0]"},
      {R"({"status":"error","ids":[1],"loss":[]})", "\"status\": expected success"},
      {R"({"conversations":[]})", "expected at least one turn"},
      {R"({"conversations":{}})", "expected an array, found an object"},
      {R"({"conversations":[3]})", "\"conversations\"[0]: expected an object"},
      {R"({"conversations":[{"role":"user"}]})", "\"content\" is missing"},
      {R"({"conversations":[{"role":"tool","content":"x"}]})", "found 'tool'"},
      {R"({"conversations":[{"role":"user","content":null}]})", "expected a string, found null"},
      {"{\"id\":\"\xff\"}", "not valid JSON"},
  };
  std::string text;
  for (const auto& [line, part] : bad) text += std::string(line) + "\n";
  text += R"({"ids":[1,2],"loss":[[0,2]]})";
  const Read read = read_all(folder, text, {.min_loss_tokens = 1, .vocab = 100});
  EXPECT_EQ(read.examples.size(), 1u);
  EXPECT_EQ(read.counts.faults.count, static_cast<int64_t>(std::size(bad)));
  for (size_t i = 0; i < std::size(bad); ++i) {
    folder.write("corpus.jsonl", "\n" + std::string(bad[i].first));
    auto reader =
        CorpusReader::open(folder / "corpus.jsonl", {.vocab = 100, .strict = true}, nullptr);
    ASSERT_TRUE(reader.ok());
    Example example;
    const auto row = reader->next(example);
    ASSERT_FALSE(row.ok()) << bad[i].first;
    expect_error(row.message(), {"corpus.jsonl:2: ", bad[i].second});
  }
}

TEST(Corpus, DepthAndLengthAreBounded) {
  const ScratchFolder folder;
  const std::string deep(100000, '[');
  const std::string row = R"({"ids":[1,2],"loss":[[0,2]]})";
  const Read read =
      read_all(folder, deep + "\n" + std::string(kMaxRowBytes + 1, ' ') + "x\n" + row + "\n",
               {.min_loss_tokens = 1});
  EXPECT_EQ(read.counts.faults.count, 2);
  ASSERT_EQ(read.examples.size(), 1u);
  EXPECT_EQ(read.examples[0].id, "3");
  expect_error(read.counts.faults.first[1], {"corpus.jsonl:2: longer than"});
}

TEST(Corpus, EveryPrefixOfAFileIsRead) {
  const ScratchFolder folder;
  const std::string row = R"({"id":"x","ids":[1,2],"loss":[[0,2]]})"
                          "\n";
  const std::string text = row + row + row;
  for (size_t bytes = 0; bytes <= text.size(); ++bytes) {
    const Read read = read_all(folder, text.substr(0, bytes), {.min_loss_tokens = 1});
    const size_t whole = (bytes + 1) / row.size();  // without the LF as well
    EXPECT_EQ(read.examples.size(), whole);
    EXPECT_EQ(read.counts.faults.count, (bytes + 1) % row.size() > 1 ? 1 : 0) << bytes;
  }
}

TEST(Corpus, FilesThatAreNone) {
  const ScratchFolder folder;
  EXPECT_FALSE(CorpusReader::open(folder / "none", {}, nullptr).ok());
  EXPECT_FALSE(CorpusReader::open(folder.path(), {}, nullptr).ok());
}

}  // namespace
}  // namespace dspark::learn

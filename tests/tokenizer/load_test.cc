// Files that are odd, wrong or hostile; and the files beside tokenizer.json.
#include <gtest/gtest.h>

#include <fstream>

#include "tokenizer/goldens.h"

namespace dspark::tokenizer {
namespace {

using nlohmann::json;
using Specials = Tokenizer::Specials;
using Ids = std::vector<int32_t>;

// A plain BPE with a, b, ab and <unk>; tests change one thing.
json small() {
  return json::parse(R"({"added_tokens": [{"id": 3, "content": "<unk>", "special": true}],
    "normalizer": null, "pre_tokenizer": null,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})");
}

Tokenizer load(const json& root) {
  auto tokenizer = Tokenizer::from_json(root.dump(), "t.json");
  CHECK(tokenizer.ok(), "{}", tokenizer.message());
  return tokenizer.take();
}

void expect_error(const json& root, const std::string& part) {
  auto tokenizer = Tokenizer::from_json(root.dump(), "t.json");
  ASSERT_FALSE(tokenizer.ok()) << root.dump();
  EXPECT_TRUE(tokenizer.message().starts_with("t.json: ")) << tokenizer.message();
  EXPECT_NE(tokenizer.message().find(part), std::string::npos) << tokenizer.message();
}

template <class Change>
json changed(Change change) {
  json root = small();
  change(root);
  return root;
}

TEST(Json, Small) {
  const Tokenizer t = load(small());
  EXPECT_EQ(t.encode("abba", Specials::kAsText), (Ids{2, 1, 0}));
  EXPECT_EQ(t.encode("a<unk>b", Specials::kParse), (Ids{0, 3, 1}));
  EXPECT_EQ(t.encode("a<unk>b", Specials::kAsText), Ids{2});  // the rest has no token
  EXPECT_EQ(t.description(), "plain BPE, pre-tokenizer none, 4 tokens");
}

TEST(Json, UnknownCharacters) {
  json root = changed([](json& r) { r["model"]["unk_token"] = "<unk>"; });
  EXPECT_EQ(load(root).encode("axyb", Specials::kAsText), (Ids{0, 3, 3, 1}));
  root["model"]["fuse_unk"] = true;
  EXPECT_EQ(load(root).encode("axyb", Specials::kAsText), (Ids{0, 3, 1}));
  root["model"]["byte_fallback"] = true;
  root["model"]["vocab"]["<0x78>"] = 4;
  EXPECT_EQ(load(root).encode("axyb", Specials::kAsText), (Ids{0, 4, 3, 1}));
  EXPECT_EQ(load(root).decode(Ids{0, 4, 1}), "axb");
}

TEST(Json, HolesBetweenIdsAreEmptyTokens) {
  const Tokenizer t = load(changed([](json& r) { r["model"]["vocab"]["c"] = 900; }));
  EXPECT_EQ(t.vocab_size(), 901);
  EXPECT_EQ(t.token_bytes(500), "");
  EXPECT_EQ(t.token_text(500), "");
  EXPECT_EQ(t.find(""), std::nullopt);
  EXPECT_EQ(t.encode("c", Specials::kAsText), Ids{900});
}

TEST(Json, ErrorsNameThePlace) {
  const auto model = [](const char* key, json value) {
    return changed([&](json& r) { r["model"][key] = std::move(value); });
  };
  expect_error(json::array(), "key model");
  expect_error(json::object(), "key model");
  expect_error(model("type", "Unigram"), "\"Unigram\" is not supported, expected BPE");
  expect_error(model("vocab", json::array()), "key model.vocab: expected an object");
  expect_error(model("vocab", {{"a", "x"}}), "token \"a\": expected an integer");
  expect_error(model("vocab", {{"a", -1}}), "id -1 is not in 0 to");
  expect_error(model("vocab", {{"a", 4000000}}), "id 4000000 is not in 0 to");
  expect_error(model("vocab", {{"a", 1e30}}), "expected an integer");
  expect_error(model("vocab", {{"a", 0}, {"b", 0}}), "tokens \"a\" and \"b\" both have id 0");
  expect_error(model("vocab", {{"a", 0}, {"b", 3}}), "tokens \"b\" and \"<unk>\" both have id 3");
  expect_error(model("merges", nullptr), "key model.merges: expected an array");
  expect_error(model("merges", {"a"}), "merges: item 0: \"a\" is not two parts");
  expect_error(model("merges", {"a b", "a  b"}), "merges: item 1");
  expect_error(model("merges", json::array({json::array({"a"})})),
               "merges: item 0: expected two texts");
  expect_error(model("merges", {7}), "merges: item 0: expected a text or a pair");
  expect_error(model("merges", json::array({json::array({"a", ""})})),
               "merges: item 0: an empty part");
  expect_error(model("merges", json::array({json::array({"x", "b"})})),
               "\"x\" + \"b\": the left part is no token");
  expect_error(model("merges", json::array({json::array({"a", "x"})})),
               "the right part is no token");
  expect_error(model("merges", json::array({json::array({"b", "a"})})), "the result is no token");
  expect_error(model("end_of_word_suffix", "</w>"), "key model.end_of_word_suffix");
  expect_error(changed([](json& r) { r["added_tokens"][0]["id"] = 1 << 30; }),
               "added_tokens: item 0");
  expect_error(changed([](json& r) { r["added_tokens"][0]["content"] = ""; }), "item 0: content");
  expect_error(changed([](json& r) { r["added_tokens"][0]["content"] = std::string(2000, 'x'); }),
               "expected a text of 1 to 1024 bytes");
  expect_error(changed([](json& r) {
                 r["added_tokens"].push_back({{"id", 4}, {"content", "<unk>"}});
               }),
               "tokens 3 and 4 are both \"<unk>\"");
}

TEST(Json, ErrorsOfThePipeline) {
  const auto pre = [](json step) {
    return changed([&](json& r) { r["pre_tokenizer"] = std::move(step); });
  };
  const auto normalizer = [](json step) {
    return changed([&](json& r) { r["normalizer"] = std::move(step); });
  };
  const auto split = [&](const std::string& regex) {
    return pre({{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}});
  };
  expect_error(pre(7), "key pre_tokenizer: expected null or an object");
  expect_error(pre({{"type", "Metaspace"}}), "pre-tokenizer \"Metaspace\" is not supported");
  expect_error(pre({{"type", "Split"}}), "key pre_tokenizer.pattern");
  expect_error(pre({{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "x"}}),
               "behavior: \"x\"");
  expect_error(split("(a"), "pattern \"(a\": missing closing parenthesis");
  expect_error(split("\\h"), "\\h is not supported");
  expect_error(split("[a&&b]"), "a class within a class");
  expect_error(split(std::string(20000, 'a')), "expected at most 16384");
  expect_error(split(std::string(100, '(') + std::string(100, ')')),
               "parentheses are too deeply nested");
  expect_error(normalizer({{"type", "Lowercase"}}), "normalizer \"Lowercase\" is not supported");
  json many = {{"type", "Sequence"}, {"normalizers", json::array()}};
  for (int i = 0; i < 80; ++i) many["normalizers"].push_back({{"type", "NFC"}});
  expect_error(normalizer(many), "more than 64 steps");
  json doubling = {{"type", "Sequence"}, {"normalizers", json::array()}};
  for (int i = 0; i < 8; ++i)
    doubling["normalizers"].push_back(
        {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}});
  expect_error(normalizer(doubling), "replacements make text up to 128 times longer");
  json deep = {{"type", "NFC"}};
  for (int i = 0; i < 200; ++i) deep = {{"type", "Sequence"}, {"normalizers", json::array({deep})}};
  EXPECT_FALSE(Tokenizer::from_json(normalizer(deep).dump(), "t.json").ok());
  expect_error(
      pre({{"type", "Sequence"},
           {"pretokenizers",
            {{{"type", "ByteLevel"}, {"add_prefix_space", false}}, {{"type", "Digits"}}}}}),
      "pre_tokenizer.1: a step after ByteLevel");
}

TEST(Json, BrokenTextSaysWhere) {
  for (const std::string text :
       {"", "{", "{\"model\": {]}", "\xff", "{\"model\": \"\xff\"}", "null"}) {
    auto tokenizer = Tokenizer::from_json(text, "t.json");
    ASSERT_FALSE(tokenizer.ok());
    EXPECT_TRUE(tokenizer.message().starts_with("t.json: ")) << tokenizer.message();
  }
}

// A pattern that backtracks without end gives up and leaves the text in one piece.
TEST(Json, HostilePatternIsBounded) {
  const Tokenizer t = load(changed([](json& r) {
    r["pre_tokenizer"] = {
        {"type", "Split"}, {"pattern", {{"Regex", "(?:a|aa|aaa)*[bc]"}}}, {"behavior", "Isolated"}};
  }));
  EXPECT_EQ(t.encode(std::string(2000, 'a'), Specials::kAsText), Ids(2000, 0));
}

// Ordering a long run of combining marks must not take quadratic time.
TEST(Json, ManyCombiningMarks) {
  json root = changed([](json& r) { r["normalizer"] = {{"type", "NFC"}}; });
  root["model"]["vocab"]["\u0301"] = 4;
  root["model"]["vocab"]["\u0323"] = 5;
  std::string marks = "b";
  for (int i = 0; i < 200'000; ++i) marks += "\u0301\u0323";
  const Ids ids = load(root).encode(marks, Specials::kAsText);
  ASSERT_EQ(ids.size(), 399'999u);  // b with a dot below is one character, without a token here
  EXPECT_EQ(ids.front(), 5);
  EXPECT_EQ(ids.back(), 4);
}

class Directory : public testing::Test {
 protected:
  Directory() : path_(std::filesystem::path(testing::TempDir()) / "tokenizer_directory") {
    std::filesystem::create_directories(path_);
  }
  ~Directory() override { std::filesystem::remove_all(path_); }
  void put(const char* name, const std::string& text) { std::ofstream(path_ / name) << text; }
  std::filesystem::path path_;
};

TEST_F(Directory, FilesBesideTokenizerJson) {
  json root = small();
  for (const char* text : {"<s>", "</s>", "<|eot_id|>"})
    root["added_tokens"].push_back(
        {{"id", 1 + root["added_tokens"].size() + 2}, {"content", text}, {"special", true}});
  put("tokenizer.json", root.dump());
  put("tokenizer_config.json",
      R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true,
    "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
  put("generation_config.json", R"({"eos_token_id": [5, 1]})");
  auto t = Tokenizer::from_directory(path_);
  ASSERT_TRUE(t.ok()) << t.message();
  EXPECT_EQ(t->bos_id(), 4);
  EXPECT_EQ(t->eos_id(), 5);
  EXPECT_TRUE(t->add_bos());
  EXPECT_EQ(t->chat_template(), "D");
  EXPECT_EQ(t->stop_ids(), (Ids{1, 5, 6}));
  put("chat_template.jinja", "J");
  put("generation_config.json", R"({"eos_token_id": 99})");
  t = Tokenizer::from_directory(path_);
  ASSERT_FALSE(t.ok());
  EXPECT_NE(t.message().find("generation_config.json: key eos_token_id: 99 is not in 0 to 6"),
            std::string::npos);
  put("generation_config.json", "{}");
  EXPECT_EQ(Tokenizer::from_directory(path_)->chat_template(), "J");
}

TEST_F(Directory, LeadingTokenOfTheTemplateIsBos) {
  json root = small();
  root["post_processor"] = json::parse(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<unk>", "type_id": 0}}]}]})");
  const Tokenizer t = load(root);
  EXPECT_EQ(t.bos_id(), 3);
  EXPECT_TRUE(t.add_bos());
}

TEST_F(Directory, WithoutTokenizerJsonThereIsNoVocabulary) {
  put("generation_config.json", R"({"eos_token_id": 7})");
  auto t = Tokenizer::from_directory(path_);
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(t->vocab_size(), 0);
  EXPECT_EQ(t->fingerprint(), "");
  EXPECT_EQ(t->stop_ids(), Ids{7});
  EXPECT_TRUE(t->encode("text \xff", Specials::kParse).empty());
}

TEST(Fingerprint, DiffersWithTokensSpecialsAndMerges) {
  const auto of = [](const json& root) { return load(root).fingerprint(); };
  const std::string plain = of(small());
  EXPECT_EQ(plain.size(), 16u);
  EXPECT_EQ(of(small()), plain);
  EXPECT_NE(of(changed([](json& r) { r["model"]["vocab"]["c"] = 4; })), plain);
  EXPECT_NE(of(changed([](json& r) { r["model"]["merges"].clear(); })), plain);
  EXPECT_NE(of(changed([](json& r) { r["added_tokens"][0]["id"] = 5; })), plain);
  EXPECT_NE(of(changed([](json& r) {
              r["added_tokens"].clear();
              r["model"]["vocab"]["<unk>"] = 3;
            })),
            plain);
  const json two = changed([](json& r) {
    r["model"]["vocab"]["ba"] = 4;
    r["model"]["merges"] = json::array({"a b", "b a"});
  });
  json turned = two;
  std::swap(turned["model"]["merges"][0], turned["model"]["merges"][1]);
  EXPECT_NE(of(two), of(turned));
}

TEST_F(Directory, OpenTakesADirectoryOrAGgufFile) {
  put("tokenizer.json", small().dump());
  auto t = Tokenizer::open(path_);
  ASSERT_TRUE(t.ok()) << t.message();
  EXPECT_EQ(t->fingerprint(), load(small()).fingerprint());
  const auto file = path_ / "model.gguf";
  formats::GgufWriter writer(file);
  writer.set("tokenizer.ggml.model", std::string("gpt2"));
  writer.set("tokenizer.ggml.tokens", formats::GgufArray{std::vector<std::string>{"a", "b", "ab"}});
  writer.set("tokenizer.ggml.merges", formats::GgufArray{std::vector<std::string>{"a b"}});
  ASSERT_TRUE(writer.begin().ok() && writer.finish().ok());
  t = Tokenizer::open(file);
  ASSERT_TRUE(t.ok()) << t.message();
  EXPECT_EQ(t->encode("ab", Specials::kAsText), Ids{2});
  EXPECT_NE(Tokenizer::open(path_ / "tokenizer.json").message().find("not a GGUF file"),
            std::string::npos);
  EXPECT_NE(Tokenizer::open(path_ / "missing").message().find("missing"), std::string::npos);
}

TEST(Gguf, ErrorsNameTheKey) {
  const auto path = std::filesystem::path(testing::TempDir()) / "tokenizer_errors.gguf";
  using Strings = std::vector<std::string>;
  using Integers = std::vector<int64_t>;
  const auto error = [&](const std::map<std::string, formats::GgufValue>& changes) {
    std::map<std::string, formats::GgufValue> keys{
        {"tokenizer.ggml.model", std::string("gpt2")},
        {"tokenizer.ggml.tokens", formats::GgufArray{Strings{"a", "b", "ab"}}},
        {"tokenizer.ggml.merges", formats::GgufArray{Strings{"a b"}}}};
    for (const auto& [key, value] : changes) keys[key] = value;
    formats::GgufWriter writer(path);
    for (const auto& [key, value] : keys) writer.set(key, value);
    CHECK(writer.begin().ok() && writer.finish().ok());
    auto file = formats::GgufFile::open(path);
    CHECK(file.ok());
    auto tokenizer = Tokenizer::from_gguf(*file);
    std::filesystem::remove(path);
    return tokenizer.ok() ? "fine" : tokenizer.message();
  };
  const auto expect = [&](const std::map<std::string, formats::GgufValue>& changes,
                          const char* part) {
    EXPECT_NE(error(changes).find(part), std::string::npos) << error(changes);
  };
  expect({}, "fine");
  expect({{"tokenizer.ggml.bos_token_id", uint64_t{0xffffffff}}}, "fine");
  expect({{"tokenizer.ggml.model", std::string("llama")}},
         "key tokenizer.ggml.model: \"llama\" is not supported");
  expect({{"tokenizer.ggml.pre", std::string("viking")}},
         "key tokenizer.ggml.pre: \"viking\" is not known, expected one of smollm");
  expect({{"tokenizer.ggml.tokens", formats::GgufArray{Strings{"a", "b", "a"}}}},
         "tokens 0 and 2 are both \"a\"");
  expect(
      {{"tokenizer.ggml.tokens", formats::GgufArray{Strings{"a", "b", std::string(70000, 'x')}}}},
      "token 2: 70000 bytes");
  expect({{"tokenizer.ggml.token_type", formats::GgufArray{Integers{1, 1}}}},
         "expected one for each of 3 tokens");
  expect({{"tokenizer.ggml.token_type", formats::GgufArray{Integers{1, 6, 1}}}},
         "token 1: \"b\" is marked as a byte");
  expect({{"tokenizer.ggml.merges", formats::GgufArray{Strings{"ab"}}}},
         "merges: item 0: \"ab\" is not two parts");
  expect({{"tokenizer.ggml.merges", formats::GgufArray{Strings{"a \x1b"}}}},
         "merge 0: \"a\" + \"\\x1b\": the right part is no token");
  expect({{"tokenizer.ggml.eos_token_id", int64_t{3}}},
         "key tokenizer.ggml.eos_token_id: 3 is not in the vocabulary of 3");
}

}  // namespace
}  // namespace dspark::tokenizer

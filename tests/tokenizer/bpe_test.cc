// Ids and texts equal to the references', for every family and both file formats.
#include <gtest/gtest.h>

#include "formats/formats.h"
#include "tokenizer/goldens.h"

namespace dspark::tokenizer {
namespace {

using nlohmann::json;
using Specials = Tokenizer::Specials;

class Family : public testing::TestWithParam<const char*> {};

TEST_P(Family, IdsAreTheReferences) {
  const auto folder = families() / GetParam();
  auto tokenizer = Tokenizer::from_directory(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.message();
  // The reference reads added tokens as byte spelling when it decodes ("caf\u00e9" loses its
  // accent).
  const bool decodes = GetParam() != std::string("flags");
  expect_goldens(*tokenizer, folder / "tokenizer.jsonl", Specials::kAsText, decodes);
  expect_goldens(*tokenizer, folder / "tokenizer_special.jsonl", Specials::kParse, decodes);
}

INSTANTIATE_TEST_SUITE_P(Json, Family,
                         testing::Values("qwen3", "llama3", "gpt2", "smollm", "gemma", "llama2",
                                         "flags"),
                         [](const auto& info) { return std::string(info.param); });

// The GGUF file that the usual conversion makes of a tokenizer.json.
formats::GgufFile to_gguf(const std::filesystem::path& json_file, const std::string& model,
                          const std::string& pre) {
  const json root = json::parse(read_all(json_file));
  std::map<int64_t, std::pair<std::string, int64_t>> tokens;  // id: text, type
  for (const auto& [text, id] : root["model"]["vocab"].items()) {
    const bool byte = model == "gemma4" && text.size() == 6 && text.starts_with("<0x");
    tokens[id.get<int64_t>()] = {text, byte ? 6 : 1};
  }
  for (const json& token : root["added_tokens"])
    tokens[token["id"].get<int64_t>()] = {token["content"], token["special"] == true ? 3 : 4};
  std::vector<std::string> texts, merges;
  std::vector<int64_t> types;
  for (const auto& [id, token] : tokens) {
    texts.push_back(token.first);
    types.push_back(token.second);
  }
  for (const json& merge : root["model"]["merges"])
    merges.push_back(merge.is_string()
                         ? merge.get<std::string>()
                         : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  const auto path = std::filesystem::path(testing::TempDir()) / ("tokenizer_" + pre + ".gguf");
  texts.push_back("[PAD]");  // as files have them whose embedding is larger than the vocabulary
  types.push_back(5);
  formats::GgufWriter writer(path);
  writer.set("tokenizer.ggml.model", model);
  writer.set("tokenizer.ggml.pre", pre);
  writer.set("tokenizer.ggml.tokens", formats::GgufArray{texts});
  writer.set("tokenizer.ggml.token_type", formats::GgufArray{types});
  writer.set("tokenizer.ggml.merges", formats::GgufArray{merges});
  writer.set("tokenizer.ggml.eos_token_id", int64_t{1});
  EXPECT_TRUE(writer.begin().ok());
  EXPECT_TRUE(writer.finish().ok());
  auto file = formats::GgufFile::open(path);
  std::filesystem::remove(path);
  CHECK(file.ok(), "{}", file.message());
  return file.take();
}

TEST(Gguf, GivesTheSameIdsAsJson) {
  const struct {
    const char *family, *model, *pre;
  } cases[] = {{"qwen3", "gpt2", "qwen2"},
               {"llama3", "gpt2", "llama-bpe"},
               {"gpt2", "gpt2", "gpt-2"},
               {"smollm", "gpt2", "smollm"},
               {"gemma", "gemma4", "gemma4"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.family);
    const auto folder = families() / c.family;
    auto from_json = Tokenizer::from_directory(folder);
    auto from_gguf = Tokenizer::from_gguf(to_gguf(folder / "tokenizer.json", c.model, c.pre));
    ASSERT_TRUE(from_gguf.ok()) << from_gguf.message();
    expect_goldens(*from_gguf, folder / "tokenizer.jsonl", Specials::kAsText, true);
    expect_goldens(*from_gguf, folder / "tokenizer_special.jsonl", Specials::kParse, true);
    EXPECT_EQ(from_gguf->fingerprint(), from_json->fingerprint());
    EXPECT_EQ(from_gguf->eos_id(), 1);
    EXPECT_EQ(from_gguf->stop_ids().front(), 1);
  }
}

class SmolLm2 : public testing::Test {
 protected:
  void SetUp() override {
    if (smollm2_gguf().empty()) GTEST_SKIP() << "the default model is not in the cache";
    auto file = formats::GgufFile::open(smollm2_gguf());
    ASSERT_TRUE(file.ok()) << file.message();
    auto loaded = Tokenizer::from_gguf(*file);
    ASSERT_TRUE(loaded.ok()) << loaded.message();
    tokenizer_ = std::make_unique<Tokenizer>(loaded.take());
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(SmolLm2, IdsAreTheReferences) {
  expect_goldens(*tokenizer_, fixtures() / "smollm2/tokenizer.jsonl", Specials::kAsText, false);
  expect_goldens(*tokenizer_, fixtures() / "smollm2/tokenizer_special.jsonl", Specials::kParse,
                 false);
}

TEST_F(SmolLm2, DecodesBackExceptBytesWithoutToken) {
  int lossy = 0;
  for (const json& line : read_lines(fixtures() / "smollm2/tokenizer.jsonl"))
    lossy += tokenizer_->decode(line["ids"].get<std::vector<int32_t>>()) !=
             line["text"].get<std::string>();
  EXPECT_EQ(lossy, 8);
}

TEST_F(SmolLm2, KnowsItself) {
  EXPECT_EQ(tokenizer_->description(), "byte-level BPE, pre-tokenizer smollm, 49152 tokens");
  EXPECT_EQ(tokenizer_->vocab_size(), 49152);
  EXPECT_EQ(tokenizer_->stop_ids(), (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(tokenizer_->eos_id(), 2);
  EXPECT_FALSE(tokenizer_->add_bos());
  EXPECT_EQ(tokenizer_->find("<|im_start|>"), 1);
  EXPECT_TRUE(tokenizer_->is_special(16));
  EXPECT_FALSE(tokenizer_->is_special(17));
  EXPECT_EQ(tokenizer_->token_bytes(1), "");
  EXPECT_EQ(tokenizer_->token_bytes(1, true), "<|im_start|>");
  EXPECT_EQ(tokenizer_->token_bytes(-1), "");
  EXPECT_EQ(tokenizer_->token_bytes(49152), "");
  EXPECT_NE(tokenizer_->chat_template(), "");
}

TEST_F(SmolLm2, LongPiecesAreNotQuadratic) {
  for (const std::string unit :
       {"a", " ", "\n", "ab", "'", "\xe4\xbd\xa0", "\xcc\x81", "<|im", "7"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(text, Specials::kParse)), text);
  }
}

TEST_F(SmolLm2, InvalidUtf8BecomesByteTokens) {
  for (const std::string text : {"a\x80"
                                 "b",
                                 "\xe2\x82 x", "\xc3(", "\xed\xa0\x80", "x\xe4\xbd"}) {
    const auto ids = tokenizer_->encode(text, Specials::kAsText);
    EXPECT_EQ(tokenizer_->decode(ids), text);
  }
  EXPECT_EQ(tokenizer_->encode("\xff", Specials::kAsText), std::vector<int32_t>());  // has no token
  EXPECT_EQ(tokenizer_->encode("a\xff"
                               "b",
                               Specials::kAsText),
            tokenizer_->encode("a", Specials::kAsText).size() == 1
                ? (std::vector<int32_t>{*tokenizer_->find("a"), *tokenizer_->find("b")})
                : std::vector<int32_t>());
}

}  // namespace
}  // namespace dspark::tokenizer

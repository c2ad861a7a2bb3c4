// The parts: splitting against the reference, merging and stream decoding against their
// definitions.
#include <gtest/gtest.h>

#include <random>

#include "tokenizer/goldens.h"
#include "tokenizer/merge_symbols.h"
#include "tokenizer/pre_tokenizer.h"

namespace dspark::tokenizer {
namespace {

using Ids = std::vector<int32_t>;

TEST(PreTokenizer, SplitsAsTheReferenceDoes) {
  const std::map<std::string, SplitBehaviour> behaviours = {
      {"Isolated", SplitBehaviour::kIsolated},
      {"Removed", SplitBehaviour::kRemoved},
      {"MergedWithPrevious", SplitBehaviour::kMergedWithPrevious},
      {"MergedWithNext", SplitBehaviour::kMergedWithNext},
      {"Contiguous", SplitBehaviour::kContiguous}};
  for (const nlohmann::json& line : read_lines(families() / "splits.jsonl")) {
    PreTokenizer pre_tokenizer;
    ASSERT_TRUE(
        pre_tokenizer
            .add_split(line["pattern"], behaviours.at(line["behavior"]), line["invert"], "test")
            .ok());
    const auto text = line["text"].get<std::string>();
    std::vector<std::string_view> pieces;
    pre_tokenizer.split(text, pieces);
    EXPECT_EQ(std::vector<std::string>(pieces.begin(), pieces.end()),
              line["pieces"].get<std::vector<std::string>>())
        << line.dump();
  }
}

// Merging by its definition.
Ids merge_slowly(const Vocabulary& vocabulary, Ids symbols) {
  for (;;) {
    size_t best = symbols.size();
    Vocabulary::Merge chosen{UINT32_MAX, -1};
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Vocabulary::Merge merge = vocabulary.merge(symbols[i], symbols[i + 1]);
      if (merge.id >= 0 && merge.rank < chosen.rank) {
        chosen = merge;
        best = i;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] = chosen.id;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(MergeSymbols, IsTheDefinition) {
  std::mt19937 random(1);
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  for (int round = 0; round < 60; ++round) {
    const size_t letters = 2 + below(6);
    std::vector<std::string> texts;
    for (size_t i = 0; i < letters; ++i) texts.emplace_back(1, static_cast<char>('a' + i));
    std::vector<std::pair<std::string, std::string>> parts;
    for (int tries = 0; tries < 60; ++tries) {
      const std::string left = texts[below(texts.size())], right = texts[below(texts.size())];
      if (left.size() + right.size() > 8) continue;
      if (std::find(texts.begin(), texts.end(), left + right) == texts.end())
        texts.push_back(left + right);
      parts.emplace_back(left, right);
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    auto vocabulary =
        Vocabulary::create("test", views, std::vector<TokenKind>(views.size(), TokenKind::kNormal),
                           round % 2 ? Spelling::kPlain : Spelling::kByteLevel);
    ASSERT_TRUE(vocabulary.ok());
    std::shuffle(parts.begin(), parts.end(), random);
    ASSERT_TRUE(vocabulary->add_merges("test", {parts.begin(), parts.end()}).ok());
    for (const size_t n : {0, 1, 2, 10, 24, 25, 60, 200}) {
      Ids symbols(n);
      for (int32_t& id : symbols) id = static_cast<int32_t>(below(letters));
      const Ids wanted = merge_slowly(*vocabulary, symbols);
      merge_symbols(*vocabulary, symbols);
      ASSERT_EQ(symbols, wanted);
    }
  }
}

// Every byte is a token, with one control token.
Tokenizer byte_tokenizer() {
  nlohmann::json root =
      nlohmann::json::parse(R"({"added_tokens": [{"id": 256, "content": "<c>", "special": true}],
    "model": {"type": "BPE", "vocab": {}, "merges": [], "byte_fallback": true}})");
  for (int b = 0; b < 256; ++b) root["model"]["vocab"][fmt::format("<0x{:02X}>", b)] = b;
  auto tokenizer = Tokenizer::from_json(root.dump(), "bytes");
  CHECK(tokenizer.ok(), "{}", tokenizer.message());
  return tokenizer.take();
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (int32_t id : ids) text += decoder.push(id);
  return text + decoder.flush();
}
Ids bytes_of(std::string_view text) {
  Ids ids;
  for (char c : text) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

TEST(StreamDecoder, ReplacesWhatCannotBecomeACharacter) {
  const Tokenizer t = byte_tokenizer();
  const std::string r = "\xef\xbf\xbd";
  const std::pair<std::string, std::string> cases[] = {
      {"abc", "abc"},
      {"\xff", r},
      {"\xe2\x82\xac", "\xe2\x82\xac"},
      {"\xe2\x82", r},
      {"\xe2\x82"
       "A",
       r + "A"},
      {"\xe2\xe2\x82\xac", r + "\xe2\x82\xac"},
      {"\xed\xa0\x80", r + r + r},  // a surrogate
      {"\xc0\xaf", r + r},          // overlong
      {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
      {"\xf0\x9f\x98x", r + "x"},
      {"\xf4\x90\x80\x80", r + r + r + r},  // beyond U+10FFFF
  };
  for (const auto& [bytes, text] : cases) EXPECT_EQ(stream(t, bytes_of(bytes)), text);
}

TEST(StreamDecoder, WaitsOnlyForBytesThatMayStillCome) {
  const Tokenizer t = byte_tokenizer();
  StreamDecoder decoder(t);
  EXPECT_EQ(decoder.push(0xe2), "");
  EXPECT_EQ(decoder.push(0x82), "");
  EXPECT_EQ(decoder.push(256), "");  // a control token is no text
  EXPECT_EQ(decoder.push(0xac), "\xe2\x82\xac");
  EXPECT_EQ(decoder.push(0xe0), "");
  EXPECT_EQ(decoder.push(0x80), "\xef\xbf\xbd\xef\xbf\xbd");  // E0 80 can't begin a character
  EXPECT_EQ(decoder.push('x'), "x");
  EXPECT_EQ(decoder.flush(), "");
}

// However the bytes come, the text is the same, valid, and each push gives whole characters.
TEST(StreamDecoder, RandomBytes) {
  const Tokenizer t = byte_tokenizer();
  std::mt19937 random(2);
  const std::string pieces[] = {"a",    "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xe2",
                                "\x82", "\xf0\x9f", "\xff",         "\xed\xa0",         "\xf4",
                                "\x8f", "\x90",     "\xc0"};
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) bytes += pieces[random() % std::size(pieces)];
    StreamDecoder decoder(t);
    std::string text;
    for (int32_t id : bytes_of(bytes)) {
      const std::string part = decoder.push(id);
      nlohmann::json(part).dump();  // throws unless valid UTF-8
      text += part;
    }
    text += decoder.flush();
    const std::string strict =
        nlohmann::json(bytes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (nlohmann::json::parse(strict).get<std::string>() == bytes) {
      EXPECT_EQ(text, bytes);
    }
    EXPECT_EQ(stream(t, bytes_of(text)), text);
    std::string without;  // what was valid stays, in order
    for (size_t at = 0; at < text.size();) {
      if (text.compare(at, 3, "\xef\xbf\xbd") == 0)
        at += 3;
      else
        without += text[at++];
    }
    size_t from = 0;
    for (char c : without) {
      from = bytes.find(c, from);
      ASSERT_NE(from, std::string::npos);
      ++from;
    }
  }
}

TEST(StreamDecoder, GivesTheTextOfEveryGolden) {
  const auto folder = families() / "gemma";
  auto t = Tokenizer::from_directory(folder);
  for (const nlohmann::json& line : read_lines(folder / "tokenizer.jsonl"))
    EXPECT_EQ(stream(*t, line["ids"].get<Ids>()), line["decoded"].get<std::string>())
        << line.dump();
}

}  // namespace
}  // namespace dspark::tokenizer

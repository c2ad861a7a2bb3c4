// Masks: the tokens that may come next are those, and only those, that a plain reader of the rules
// lets pass.
#include <gtest/gtest.h>

#include <thread>

#include "grammar/front_ends.h"
#include "grammar/network.h"
#include "grammar/reader.h"
#include "grammar/support.h"

namespace dspark::grammar {
namespace {

using testing::allowed_ids;
using testing::Json;
using testing::masks_of;
using testing::vocabulary;

constexpr const char* kArithmetic =
    "root ::= sum \"=\" [0-9]{1,3}\nsum ::= term ([-+] term)*\nterm ::= [0-9]+ | \"(\" sum \")\"";
constexpr const char* kWords =
    "root ::= (word \" \"){1,4} [^ -~]{2} .?\nword ::= [a-z]+ | \"\u00e9t\u00e9\" | \"th\" word";
constexpr const char* kSchema = R"({
  "type": "object",
  "properties": {"name": {"type": "string", "maxLength": 5},
                 "na": {"enum": ["a", "ab", 1, null]},
                 "list": {"type": "array", "items": {"$ref": "#/$defs/n"}, "maxItems": 3}},
  "required": ["na"],
  "additionalProperties": {"type": ["number", "boolean"]},
  "$defs": {"n": {"anyOf": [{"type": "integer", "minimum": -12, "maximum": 130}, {"$ref": "#"}]}}
})";

void expect_plain_reading(const Rules& rules, std::shared_ptr<const Grammar> grammar,
                          const std::string& family, unsigned seed) {
  const tokenizer::Tokenizer& tokenizer = vocabulary(family);
  const Masks masks = masks_of(std::move(grammar), tokenizer);
  testing::Reader reader(rules);
  std::mt19937 random(seed);
  const auto constraint = masks.start();
  std::string text;
  for (int n = 0; n < 10; ++n) {
    const std::set<int32_t> allowed = allowed_ids(*constraint);
    std::vector<int32_t> of_text;
    for (int32_t id = 0; id < tokenizer.vocab_size() + 5; ++id) {
      const bool ends =
          std::binary_search(tokenizer.stop_ids().begin(), tokenizer.stop_ids().end(), id);
      const std::string bytes(id < tokenizer.vocab_size() ? tokenizer.token_bytes(id) : "");
      const bool expected = ends            ? reader.accepts(text)
                            : bytes.empty() ? false
                                            : reader.begins(text + bytes);
      ASSERT_EQ(allowed.contains(id), expected)
          << family << ": " << text << " then " << bytes << " (" << id << ")";
      if (expected && !ends) of_text.push_back(id);
    }
    if (of_text.empty()) return;
    // Short tokens more often, so that walks go far.
    int32_t chosen = of_text[random() % of_text.size()];
    for (int more = 0; more < 2; ++more)
      if (const int32_t other = of_text[random() % of_text.size()];
          tokenizer.token_bytes(other).size() < tokenizer.token_bytes(chosen).size())
        chosen = other;
    text += tokenizer.token_bytes(chosen);
    constraint->push(chosen);
  }
}

TEST(Masks, AreThePlainReadersTokens) {
  for (const char* family : {"smollm", "gemma"})
    for (unsigned seed = 0; seed < 2; ++seed) {
      for (const char* text : {kArithmetic, kWords})
        expect_plain_reading(parse_gbnf(text, "g").take(), Grammar::from_gbnf(text, "g").take(),
                             family, seed);
      const Json schema = Json::parse(kSchema);
      expect_plain_reading(rules_of_schema(schema).take(), Grammar::from_json_schema(schema).take(),
                           family, seed);
      expect_plain_reading(rules_of_any_object(), Grammar::any_json_object(), family, seed);
    }
}

TEST(Masks, PopTakesBack) {
  const tokenizer::Tokenizer& tokenizer = vocabulary("smollm");
  const Masks masks = masks_of(Grammar::from_gbnf(kArithmetic, "g").take(), tokenizer);
  const auto constraint = masks.start();
  const auto first = allowed_ids(*constraint);
  const int32_t one = *tokenizer.find("1"), letter = *tokenizer.find("a");
  constraint->push(one);
  const auto second = allowed_ids(*constraint);
  EXPECT_NE(first, second);
  constraint->push(letter);  // not allowed: nothing is behind it
  EXPECT_FALSE(constraint->allowed().ok());
  constraint->push(one);
  EXPECT_FALSE(constraint->allowed().ok());
  constraint->pop();
  constraint->pop();
  EXPECT_EQ(allowed_ids(*constraint), second);
  constraint->pop();
  EXPECT_EQ(allowed_ids(*constraint), first);
}

TEST(Masks, AnEndIsAllowedWhereTheTextIsWholeAndNothingBehindIt) {
  const tokenizer::Tokenizer& tokenizer = vocabulary("smollm");
  const Masks masks = masks_of(Grammar::from_gbnf("root ::= \"1\" \"1\"?", "g").take(), tokenizer);
  const auto constraint = masks.start();
  const int32_t one = *tokenizer.find("1"), stop = tokenizer.stop_ids()[0];
  const std::set<int32_t> stops(tokenizer.stop_ids().begin(), tokenizer.stop_ids().end());
  EXPECT_FALSE(allowed_ids(*constraint).contains(stop));
  constraint->push(one);
  EXPECT_TRUE(allowed_ids(*constraint).contains(stop));
  EXPECT_TRUE(allowed_ids(*constraint).contains(one));
  constraint->push(one);
  EXPECT_EQ(allowed_ids(*constraint), stops);
  constraint->push(stop);
  EXPECT_FALSE(constraint->allowed().ok());
}

// What is known of a grammar is made anew when it takes too much; answers under way go on.
TEST(Masks, ManyPlacesOfAnAnswer) {
  const tokenizer::Tokenizer& tokenizer = vocabulary("smollm");
  // Of a large vocabulary, so that masks are large.
  const Masks masks(Grammar::from_gbnf("root ::= [a-z]{1500} \"!\"", "g").take(),
                    make_token_trie(tokenizer, 100'000));
  const auto constraint = masks.start();
  const int32_t letter = *tokenizer.find("a"), end = *tokenizer.find("!");
  for (int i = 0; i < 1500; ++i) {
    const auto words = constraint->allowed();
    ASSERT_TRUE(words.ok()) << i << ": " << words.message();
    ASSERT_TRUE(words.value()[static_cast<size_t>(letter) / 64] >> (letter % 64) & 1) << i;
    constraint->push(letter);
  }
  EXPECT_EQ(allowed_ids(*constraint), std::set<int32_t>{end});
}

TEST(Masks, TooAmbiguousGrammarsAreErrorsOfTheirRequest) {
  const tokenizer::Tokenizer& tokenizer = vocabulary("smollm");
  const Masks masks =
      masks_of(Grammar::from_gbnf(
                   "root ::= b | c | \"d\"\nb ::= \"a\" root \"b\"\nc ::= \"a\" root \"c\"", "g")
                   .take(),
               tokenizer);
  const auto constraint = masks.start();
  for (int i = 0; i < 40; ++i) constraint->push(*tokenizer.find("a"));
  const auto words = constraint->allowed();
  ASSERT_FALSE(words.ok());
  EXPECT_NE(words.message().find("too ambiguous"), std::string::npos) << words.message();
}

TEST(Masks, AVocabularyWithoutTheBytesIsAnError) {
  const tokenizer::Tokenizer& tokenizer = vocabulary("smollm");
  const Masks masks(Grammar::from_gbnf("root ::= \"\\u00e9\"", "g").take(),
                    make_token_trie(tokenizer, 3));
  const auto words = masks.start()->allowed();
  ASSERT_FALSE(words.ok());
  EXPECT_NE(words.message().find("the vocabulary lacks the bytes"), std::string::npos);
}

TEST(Masks, AreSharedByThreads) {
  const tokenizer::Tokenizer& tokenizer = vocabulary("smollm");
  const Masks masks = masks_of(Grammar::any_json_object(), tokenizer);
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < texts.size(); ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t / 2));
      texts[t] = testing::random_text(masks, tokenizer, random, 20);
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < texts.size(); ++t) {
    EXPECT_TRUE(Json::accept(texts[t])) << texts[t];
    EXPECT_EQ(texts[t], texts[t / 2 * 2]);
  }
}

}  // namespace
}  // namespace dspark::grammar

// GBNF: what grammars accept, and what is said of those that are none.
#include <gtest/gtest.h>

#include "grammar/automaton.h"
#include "grammar/network.h"
#include "grammar/support.h"

namespace dspark::grammar {
namespace {

struct Case {
  const char* name;
  const char* grammar;
  std::vector<std::string> texts, others;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"literal", R"(root ::= "yes" | "no" # either)", {"yes", "no"}, {"", "ye", "yess", "on"}},
      {"empty", R"(root ::= "" | ("a"))", {"", "a"}, {"aa"}},
      {"repeats",
       "root ::= [a-c]+ \"x\"? [0-9]{2} \"!\"{1,3} \"?\"{2,} \"z\"*",
       {"a42!??", "cabx00!!!???zz"},
       {"42!??", "a4!??", "a42????", "a42!!!!??", "a42!?"}},
      {"escapes",
       R"(root ::= "\n\t\"\\\x41" [\]\-^] "\u00e9\U0001F642")",
       {"\n\t\"\\A]\u00e9\U0001F642", "\n\t\"\\A-\u00e9\U0001F642", "\n\t\"\\A^\u00e9\U0001F642"},
       {"\n\t\"\\Aa\u00e9\U0001F642"}},
      {"classes",
       "root ::= [^a-y\u00e0-\uffff]+ .",
       {"zz", "Z\U0001F642\n", "\u00df\u00e9"},
       {"a1", "\u00e9z", "z", "z\xff", "z\xed\xa0\x80"}},
      {"rules over lines",
       "root ::= item\n   (\", \"\n item)*\nitem ::= word | \"[\" root? \"]\"\nword ::= [a-z]+\n",
       {"a", "ab, c", "[a, [b], []], c"},
       {"", "a,b", "[a", "[]]"}},
      {"right recursion",
       "root ::= \"a\" root | \"b\"",
       {"b", "aab", std::string(5000, 'a') + "b"},
       {"a", "ba"}},
      {"nested",
       "root ::= \"(\" root \")\" | \"\"",
       {"", "(())", std::string(200, '(') + std::string(200, ')')},
       {"(", "(()", std::string(300, '(') + std::string(300, ')')}},
      {"expression",
       "root ::= term ([-+] term)*\nterm ::= factor ([*/] factor)*\n"
       "factor ::= [0-9]+ | \"(\" root \")\"",
       {"1+2*(3-4)/5", "((7))"},
       {"1+", "(1", "1++2"}},
      {"ambiguous", "root ::= a b\na ::= \"x\"*\nb ::= \"x\"* \"y\"", {"y", "xxxy"}, {"xxx"}},
  };
  return kCases;
}

class Gbnf : public ::testing::TestWithParam<Case> {};

TEST_P(Gbnf, AcceptsItsTextsAndNoOthers) {
  const auto grammar = Grammar::from_gbnf(GetParam().grammar, "g");
  ASSERT_TRUE(grammar.ok()) << grammar.message();
  for (const std::string& text : GetParam().texts)
    EXPECT_TRUE(testing::accepts(*grammar.value(), text)) << text;
  for (const std::string& text : GetParam().others)
    EXPECT_FALSE(testing::accepts(*grammar.value(), text)) << text;
}

INSTANTIATE_TEST_SUITE_P(Grammars, Gbnf, ::testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

TEST(GbnfErrors, NameThePlaceAndWhatWasExpected) {
  const std::pair<std::string, std::string> kErrors[] = {
      {"", "g: expected a rule \"root\""},
      {"a ::= \"x\"", "g: expected a rule \"root\""},
      {"root = \"x\"", "g:1:6: \"=\", expected ::="},
      {"root ::= \"x", "g:1:10: a literal without its closing"},
      {"root ::= \"a\"\nb ::= [a-", "g:2:7: a class without its closing ]"},
      {"root ::= [z-a]", "g:1:11: a range that ends before it begins"},
      {"root ::= []", "g:1:10: a class without a character"},
      {"root ::= (\"a\" \"b\"", "g:1:18: the end, expected ) for the ( before"},
      {"root ::= \"a\")", "g:1:13: \")\", expected an item or a rule"},
      {"root ::= * \"a\"", "g:1:10: \"*\", expected a literal"},
      {"root ::= \"a\"{2,1}", "g:1:13: 2 to 1 times"},
      {"root ::= \"a\"{99999}", "g:1:14: expected at most 10000 repeats"},
      {"root ::= \"a\"{1;2}", "expected } as in {2}"},
      {"root ::= \"\\q\"", "g:1:11: an unknown escape"},
      {"root ::= \"\\xg0\"", "expected 2 hexadecimal digits"},
      {"root ::= \"\\ud800\"", "d800 is no character"},
      {"root ::= \"\xff\"", "bytes that are not UTF-8"},
      {"root ::= itm\nitem ::= \"x\"", "g:1:10: there is no rule \"itm\", the nearest is \"item\""},
      {"root ::= \"a\"\nroot ::= \"b\"", "g:2:1: rule \"root\" is there twice"},
      {"root ::= root \"a\" | \"b\"", "g: rule \"root\" is left-recursive"},
      {"root ::= a\na ::= b? root \"x\" | \"y\"\nb ::= \"b\"", "is left-recursive"},
      {"root ::= \"a\" root", "g: rule \"root\" has no text"},
      {"root ::= ([ab]* \"a\" [ab]{40})", "g: the grammar is too large"},
      {"root ::= " + std::string(200, '(') + "\"a\"" + std::string(200, ')'),
       "g:1:111: groups nest more than 100 deep"},
  };
  for (const auto& [text, message] : kErrors) {
    const auto grammar = Grammar::from_gbnf(text, "g");
    ASSERT_FALSE(grammar.ok()) << text;
    EXPECT_NE(grammar.message().find(message), std::string::npos)
        << text << ": " << grammar.message();
  }
}

// Every class of characters is exactly the texts of its ranges.
TEST(Utf8, ClassesAreTheirCharacters) {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    const uint32_t top = round % 4 == 0 ? 0x80 : round % 4 == 1 ? 0x900 : 0x110000;
    uint32_t first = static_cast<uint32_t>(random()) % top,
             last = static_cast<uint32_t>(random()) % top;
    if (first > last) std::swap(first, last);
    const auto is_char = [](uint32_t c) { return c < 0xd800 || c > 0xdfff; };
    if (!is_char(first) || !is_char(last)) continue;
    const auto grammar =
        Grammar::from_gbnf(fmt::format("root ::= [\\U{:08x}-\\U{:08x}]", first, last), "g");
    ASSERT_TRUE(grammar.ok()) << grammar.message();
    Automaton automaton(grammar.value()->network());
    for (uint32_t c = 0; c < 0x110000; c += c < 0x1000 ? 1 : 37) {
      if (!is_char(c)) continue;
      std::string text;
      tokenizer::append_utf8(c, text);
      int32_t state = automaton.start();
      for (const char byte : text) state = automaton.next(state, static_cast<uint8_t>(byte));
      ASSERT_EQ(automaton.may_end(state), first <= c && c <= last) << c;
    }
  }
}

}  // namespace
}  // namespace dspark::grammar

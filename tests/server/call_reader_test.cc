// Calls of functions in texts of models: what is one, what is text, wherever the text is cut.
#include "serve/call_reader.h"

#include <gtest/gtest.h>

namespace dspark::serve {
namespace {

struct Read {
  std::string text;
  std::vector<std::string> calls;  // "name arguments"
  bool operator==(const Read&) const = default;
};

void PrintTo(const Read& read, std::ostream* out) {
  *out << "text \"" << read.text
       << "\", calls: " << fmt::format("{}", fmt::join(read.calls, " | "));
}

void add(Read& read, const CallReader::Piece& piece) {
  read.text += piece.text;
  for (const ToolCall& call : piece.calls) read.calls.push_back(call.name + " " + call.arguments);
}

Read read(const Tools& tools, std::string_view text, size_t piece_bytes) {
  CallReader reader(tools);
  Read got;
  for (size_t at = 0; at < text.size(); at += piece_bytes)
    add(got, reader.push(text.substr(at, piece_bytes)));
  add(got, reader.finish());
  return got;
}

Tools tools_of(CallForm form) {
  return {.form = form, .offered = {}, .names = {"add", "now"}, .parallel = true, .grammar = {}};
}

const std::string kAdd = R"({"name": "add", "arguments": {"a": 1, "b": [2, "}"]}})";
const std::string kAdded = R"(add {"a":1,"b":[2,"}"]})";
std::string tagged(const std::string& call) { return "<tool_call>\n" + call + "\n</tool_call>"; }

struct Case {
  CallForm form;
  std::string text;
  Read want;
};

std::vector<Case> cases() {
  using enum CallForm;
  const std::string deep(200, '[');
  std::vector<Case> all = {
      {kTagged, "", {"", {}}},
      {kTagged, " two < three \n", {" two < three \n", {}}},
      {kTagged, tagged(kAdd), {"", {kAdded}}},
      {kTagged, "I add.\n\n" + tagged(kAdd) + "\n", {"I add.", {kAdded}}},
      {kTagged,
       tagged(kAdd) + "\n" + tagged(R"({"arguments":{},"name":"now"})"),
       {"", {kAdded, "now {}"}}},
      {kTagged, tagged(kAdd) + " Done.", {" Done.", {kAdded}}},
      {kTagged, "<tool_call>" + kAdd + "</tool_call>", {"", {kAdded}}},
      {kTagged, tagged(R"({"name": "now"})"), {"", {"now {}"}}},
      {kTagged,
       tagged(R"({"name": "add", "arguments": {"a": "</tool_call>\"<tool_call>\\"}})"),
       {"", {R"(add {"a":"</tool_call>\"<tool_call>\\"})"}}},
      // The end of the answer may stand for the tag.
      {kTagged, "<tool_call>\n" + kAdd + "\n</tool", {"", {kAdded}}},
      {kTagged, "a <tool_call>\n{\"name\": \"add\"", {"a <tool_call>\n{\"name\": \"add\"", {}}},
      {kTagged, "a <tool_cal", {"a <tool_cal", {}}},
  };
  for (const std::string& no_call :
       {std::string("x"), std::string("{}"), std::string("{]"),
        std::string(R"({"name": "sub", "arguments": {}})"), std::string(R"({"name": 3})"),
        std::string(R"({"name": "add", "arguments": "{}"})"),
        R"({"name": "add", "arguments": )" + deep, kAdd + " then"}) {
    all.push_back({kTagged, tagged(no_call), {tagged(no_call), {}}});
    all.push_back({kTagged, tagged(no_call) + tagged(kAdd), {tagged(no_call), {kAdded}}});
    if (no_call != kAdd + " then") all.push_back({kBare, no_call, {no_call, {}}});
  }
  const std::string bare = R"({"name": "add", "parameters": {"a": 1}})";
  for (const Case& c : std::vector<Case>{
           {kBare, bare, {"", {R"(add {"a":1})"}}},
           {kBare, "\n" + kAdd + "\n", {"", {kAdded}}},
           {kBare, bare + "; " + bare, {"", {R"(add {"a":1})", R"(add {"a":1})"}}},
           {kBare, bare + " Done.", {" Done.", {R"(add {"a":1})"}}},
           {kBare, "Call " + bare, {"Call " + bare, {}}},
           {kBare, bare.substr(0, 20), {bare.substr(0, 20), {}}},
           {kBare, " \n", {" \n", {}}},
       })
    all.push_back(c);
  return all;
}

TEST(CallReader, FindsCallsWhereverTheTextIsCut) {
  for (const Case& c : cases())
    for (const size_t bytes : {1, 2, 3, 7, 1000})
      EXPECT_EQ(read(tools_of(c.form), c.text, bytes), c.want) << c.text << ", by " << bytes;
}

TEST(CallReader, OneCallWhereMoreMayNotBe) {
  Tools tools = tools_of(CallForm::kTagged);
  tools.parallel = false;
  EXPECT_EQ(read(tools, tagged(kAdd) + tagged(kAdd), 5), (Read{"", {kAdded}}));
}

TEST(CallReader, TextIsNotHeldLongerThanItMustBe) {
  const Tools tools = tools_of(CallForm::kTagged);
  CallReader reader(tools);
  EXPECT_EQ(reader.push("one two ").text, "one two");
  EXPECT_EQ(reader.push("<three <tool").text, " <three");
  EXPECT_EQ(reader.push("box>").text, " <toolbox>");
  EXPECT_EQ(reader.push(tagged(kAdd)).calls.size(), 1U);
}

}  // namespace
}  // namespace dspark::serve

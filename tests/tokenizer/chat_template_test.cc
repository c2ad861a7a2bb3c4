// Chat templates against Jinja2's own output (tools/oracle/make_template_goldens.py), and the
// bounds that keep an untrusted template from taking the machine.
#include "tokenizer/chat_template.h"
#include "sanitized.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace dspark::tokenizer {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kNowUnixS = 1721984461;
// A bound for the product; a sanitizer's build runs the same steps many times slower.
constexpr double kSoonSeconds = testing::kSanitized ? 20 : 2;

const std::string kFixtures = std::string(DSPARK_SOURCE_DIR) + "/tests/fixtures/";

std::vector<ordered_json> rows(const std::string& path) {
  std::ifstream file(kFixtures + path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<ordered_json> out;
  for (std::string line; std::getline(file, line);) out.push_back(ordered_json::parse(line));
  return out;
}

Result<std::string> render(const std::string& text, const ordered_json& context) {
  DSPARK_TRY(const ChatTemplate compiled, ChatTemplate::compile(text, "test"));
  return compiled.render(context, kNowUnixS);
}

std::string message_of(const std::string& text,
                       const ordered_json& context = ordered_json::object()) {
  const auto result = render(text, context);
  return result.ok() ? "no error, but: " + result.value().substr(0, 200) : result.message();
}

TEST(ChatTemplate, RendersAsJinjaDoes) {
  const auto cases = rows("../data/templates/cases.jsonl");
  ASSERT_GT(cases.size(), 700u);
  std::string text;
  ordered_json context;
  for (const auto& row : cases) {
    if (row.contains("template")) text = row["template"];  // else as the row before's
    if (row.contains("context")) context = row["context"];
    const auto result = render(text, context);
    SCOPED_TRACE(row["name"].get<std::string>() + ": " + text);
    if (row.contains("error")) {
      EXPECT_FALSE(result.ok()) << result.value();
      if (result.ok()) continue;
      EXPECT_TRUE(result.message().starts_with("test: line ")) << result.message();
    } else {
      EXPECT_TRUE(result.ok()) << result.message();
      if (!result.ok()) continue;
      EXPECT_EQ(result.value(), row["rendered"].get<std::string>());
    }
  }
}

TEST(ChatTemplate, RendersTheDefaultModelsTemplate) {
  std::ifstream file(kFixtures + "smollm2/chat_template.jinja", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto compiled = ChatTemplate::compile(text, "smollm2");
  ASSERT_TRUE(compiled.ok()) << compiled.message();
  const auto cases = rows("smollm2/chat_template.jsonl");
  ASSERT_EQ(cases.size(), 38u);
  for (const auto& row : cases) {
    const auto result = compiled.value().render(row, kNowUnixS);
    ASSERT_TRUE(result.ok()) << result.message();
    EXPECT_EQ(result.value(), row["rendered"].get<std::string>());
  }
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  EXPECT_EQ(message_of("a\nb\n{{ 1 / 0 }}"), "test: line 3: division by zero");
  EXPECT_EQ(message_of("a\n{% if x %}\n"), "test: line 2: the block has no {% endif %}");
  EXPECT_EQ(message_of("\n\n{{ 'a' + \n 1 | nope }}"), "test: line 4: there is no filter 'nope'");
  EXPECT_EQ(message_of("{{ raise_exception('roles must alternate') }}"),
            "test: line 1: roles must alternate");
  EXPECT_EQ(message_of("\n{{ x.y }}"),
            "test: line 2: 'x' is undefined, so it has no attribute 'y'");
  EXPECT_EQ(message_of("{% macro m() %}\n{{ 1 / 0 }}\n{% endmacro %}\n{{ m() }}"),
            "test: line 2: division by zero");
}

TEST(ChatTemplate, RefusesIntegersBeyond64Bits) {
  for (const char* text :
       {"{{ 9223372036854775807 + 1 }}", "{{ 2 ** 63 }}", "{{ 3 ** 1000000000 }}",
        "{{ -9223372036854775807 - 2 }}", "{{ 9223372036854775807 * 2 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ ('1' * 30) | int }}",
        "{{ 9223372036854775808 }}", "{{ 1e30 | int }}"})
    EXPECT_FALSE(render(text, ordered_json::object()).ok()) << text;
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}", ordered_json::object()).value(), "0");
  EXPECT_FALSE(render("{{ x }}", {{"x", UINT64_MAX}}).ok());
}

std::string nested(const std::string& open, const std::string& inner, const std::string& close,
                   int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += open;
  out += inner;
  for (int i = 0; i < times; ++i) out += close;
  return out;
}

std::string repeated(const std::string& text, int times) { return nested(text, "", "", times); }

TEST(ChatTemplate, HostileTemplatesEndSoonInAnError) {
  const std::string r = "range(100000)";
  const std::string grow = "{% set ns = namespace(x='abcdefgh') %}{% for i in range(100) %}";
  const std::vector<std::string> hostile = {
      "{% for i in " + r + " %}{% for j in " + r + " %}{% endfor %}{% endfor %}",
      "{% for i in " + r + " %}{% for j in " + r + " %}x{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a(n) %}{% if n %}{{ a(n - 1) }}{{ a(n - 1) }}{% endif %}{% endmacro %}{{ a(90) }}",
      "{{ 'a' * 1000000000 }}",
      "{{ 'a' * 9223372036854775807 }}",
      "{{ [1] * 1000000000 }}",
      "{{ range(1000000000) }}",
      "{{ 10 ** 1000000000 }}",
      grow + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
      grow + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      grow + "{% set ns.x = ns.x | replace('a', ns.x) %}{% endfor %}",
      grow + "{% set ns.x = ns.x.join([ns.x, ns.x, ns.x]) %}{% endfor %}",
      grow + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      grow + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% "
      "endfor %}"
      "{{ ns.x == ns.x }}",
      "{% set ns = namespace(x=()) %}{% for i in range(98) %}{% set ns.x = (ns.x, ns.x) %}{% "
      "endfor %}"
      "{{ {ns.x: 1} }}",
      "{% set ns = namespace(x=[]) %}{% for i in " + r + " %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in " + r +
          " %}{% set ns.x = [ns.x.index] %}{% endfor %}",
      "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
      "{% set ns = namespace() %}{% set ns.x = [ns, ns] %}{{ ns }}",
      "{% set ns = namespace(x='') %}{% for i in " + r +
          " %}{% set ns.x = ns.x ~ 'abcdefghijkl' * 99 %}"
          "{% endfor %}",
      "{% for i in " + r + " %}{{ 'x' * 1000 }}{% endfor %}",
      "{% for i in " + r + " %}{{ 'x'.center(100000) | upper | lower | length }}{% endfor %}",
      "{% set s = 'é' * 4000000 %}{% for i in " + r + " %}{{ s[i] }}{% endfor %}",
      "{% set s = 'ab' * 4000000 %}{% for i in " + r + " %}{{ s.find('b' * 100000) }}{% endfor %}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ '%.1000000000f' % 1.0 }}",
      "{{ 'a' | indent(1000000000) }}",
      "{{ 'a'.zfill(9223372036854775807) }}",
      "{{ [1] | tojson(indent=1000000000) }}",
      "{{ [1] | batch(1000000000, 0) | list }}",
      "{{ [1] | slice(1000000000) | list }}",
      "{{ strftime_now('%1000000000d') }}",
      "{{ strftime_now('%c' * 10000) }}",
      "{{ " + nested("(", "1", ")", 100000) + " }}",
      "{{ " + nested("[", "1", "]", 100000) + " }}",
      "{{ " + nested("{1:", "1", "}", 100000) + " }}",
      "{{ " + repeated("-", 500000) + "1 }}",
      "{{ " + repeated("not ", 200000) + "1 }}",
      "{{ x" + repeated(".a", 400000) + " }}",
      "{{ x" + repeated("[0]", 300000) + " }}",
      "{{ 1" + repeated("|abs", 200000) + " }}",
      "{{ 1" + repeated(" if 1", 100000) + " }}",
      "{{ 1" + repeated(" if 1 else 1", 50000) + " }}",
      "{{ x" + repeated("()", 400000) + " }}",
      nested("{% if 1 %}", "x", "{% endif %}", 20000),
      nested("{% for i in [1] %}", "x", "{% endfor %}", 20000),
      "{% macro m() %}" +
          nested("{% if 1 %}", "{{ " + nested("[", "m()", "]", 90) + " }}", "{% endif %}", 90) +
          "{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ " + nested("-", "m()", "", 190) + " }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ ''" + repeated("|default(m())", 150) + " }}{% endmacro %}{{ m() }}",
      "{% macro m() %}" + nested("{% for i in [1] %}", "{{ m() }}", "{% endfor %}", 150) +
          "{% endmacro %}{{ m() }}",
      "{% macro m() %}" + nested("{% filter upper %}", "{{ m() }}", "{% endfilter %}", 150) +
          "{% endmacro %}{{ m() }}",
      nested("{% macro m() %}", "x", "{% endmacro %}", 20000),
      nested("{% set x %}", "x", "{% endset %}", 20000),
      "{% for " + nested("(", "a", ")", 100000) + " in x %}{% endfor %}",
      std::string((1 << 20) + 1, 'x'),
  };
  for (const auto& text : hostile) {
    const auto begin = std::chrono::steady_clock::now();
    const auto result = render(text, ordered_json::object());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_FALSE(result.ok()) << text.substr(0, 150);
    EXPECT_LT(seconds.count(), kSoonSeconds) << text.substr(0, 150);
  }
}

TEST(ChatTemplate, LongFlatTemplatesWork) {
  EXPECT_EQ(render("{{ 0" + repeated(" + 1", 100000) + " }}", ordered_json::object()).value(),
            "100000");
  const auto text = render("{{ 'a'" + repeated(" ~ 'b'", 100000) + " }}", ordered_json::object());
  EXPECT_EQ(text.value().size(), 100001u);
  const auto sum = render("{{ 'a'" + repeated(" + 'b'", 100000) + " }}", ordered_json::object());
  EXPECT_EQ(sum.value().size(), 100001u);
  const std::string branches =
      "{% if 0 %}" + repeated("{% elif 0 %}", 50000) + "{% else %}x{% endif %}";
  EXPECT_EQ(render(branches, ordered_json::object()).value(), "x");
}

TEST(ChatTemplate, LongConversationsRenderInLinearTime) {
  const auto compiled = ChatTemplate::compile(
      "{%- set ns = namespace(last=0) %}{%- for m in messages %}{%- if m.role == 'user' %}"
      "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
      "{%- for m in messages %}<|{{ m.role }}|>\n{{ m['content'] | trim }}"
      "{%- if not loop.last %}<|end|>{{ '\\n' }}{%- endif %}{%- endfor %}{{ ns.last }}",
      "long");
  ASSERT_TRUE(compiled.ok()) << compiled.message();
  ordered_json context;
  for (int i = 0; i < 20000; ++i)
    context["messages"].push_back(
        {{"role", i % 2 ? "assistant" : "user"}, {"content", std::string(400, 'x')}});
  const auto begin = std::chrono::steady_clock::now();
  const auto result = compiled.value().render(context, kNowUnixS);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(result.ok()) << result.message();
  EXPECT_GT(result.value().size(), 20000u * 400);
  EXPECT_LT(seconds.count(), kSoonSeconds);
}

TEST(ChatTemplate, OneTemplateServesManyThreads) {
  const auto compiled = ChatTemplate::compile(
      "{% macro m(x) %}{{ x | upper }}{{ 'É'.lower() }}{% endmacro %}"
      "{% for i in range(200) %}{{ m(name) }}{{ [i, 'a'] }}{% endfor %}",
      "shared");
  ASSERT_TRUE(compiled.ok()) << compiled.message();
  const std::string expected = compiled.value().render({{"name", "née"}}, kNowUnixS).value();
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      result = compiled.value().render({{"name", "née"}}, kNowUnixS).value();
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(ChatTemplate, AnyBytesAreAccepted) {
  const std::string broken = "a\xff\xc3\x80\x80z";
  EXPECT_EQ(render(broken, ordered_json::object()).value(), broken);
  const auto result = render(
      "{{ x | length }}{{ x[1:] }}{{ x | upper }}{{ x.strip('\xff') }}{{ x | tojson }}{{ [x] }}",
      {{"x", broken}});
  EXPECT_TRUE(result.ok()) << result.message();
}

TEST(ChatTemplate, TheContextIsBounded) {
  ordered_json deep = 1;
  for (int i = 0; i < 500; ++i) deep = ordered_json::array({deep});
  EXPECT_FALSE(render("{{ x }}", {{"x", deep}}).ok());
  EXPECT_FALSE(render("x", ordered_json::array()).ok());
}

}  // namespace
}  // namespace dspark::tokenizer

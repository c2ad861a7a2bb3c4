// dspark tokenize: JSONL {"text"} on stdin, JSONL {"ids"} on stdout.
#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/json_lines.h"
#include "installed/installed.h"
#include "tokenizer/tokenizer.h"

namespace dspark::apps {
namespace {

constexpr const char* kTokenizeFooter = R"(
Nothing is added before or after the text.

Examples:
  echo '{"text": "Hello world"}' | dspark tokenize
  dspark tokenize model.gguf --special < texts.jsonl > ids.jsonl
)";

int tokenize(const std::string& model, bool special) {
  using Specials = tokenizer::Tokenizer::Specials;
  auto path = find_model(model);
  if (!path) return report(kFailure, path.message());
  auto tokenizer = tokenizer::load_tokenizer(*path);
  if (!tokenizer) return report(kFailure, tokenizer.message());
  return answer_stdin([&](const Json& object, const std::string& place) -> Result<Json> {
    DSPARK_TRY(const std::string text, string_at(object, "text", place));
    return Json{{"ids", tokenizer->encode(text, special ? Specials::kParse : Specials::kAsText)}};
  });
}

}  // namespace

Command add_tokenize(CLI::App& program) {
  CLI::App* app = program.add_subcommand("tokenize", "Texts to token ids (JSONL on stdin)");
  app->footer(kTokenizeFooter);
  auto model = std::make_shared<std::string>();
  auto special = std::make_shared<bool>(false);
  add_model(*app, *model);
  app->add_flag("--special", *special, "The text of a control token becomes that token");
  return {app, [model, special] {
            std::signal(SIGPIPE, SIG_IGN);
            return tokenize(*model, *special);
          }};
}

}  // namespace dspark::apps

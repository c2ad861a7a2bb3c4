// dspark render: JSONL {"messages", "add_generation_prompt"} on stdin, JSONL {"rendered"} on
// stdout.
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

constexpr const char* kRenderFooter = R"(
Every key of the object is a variable of the template: "tools" and others may be given as well.

Example:
  echo '{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}' | dspark render
)";

int render(const std::string& model) {
  auto path = find_model(model);
  if (!path) return report(kFailure, path.message());
  const auto tokenizer = tokenizer::load_tokenizer(*path);
  if (!tokenizer) return report(kFailure, tokenizer.message());
  const tokenizer::PromptEncoder encoder(tokenizer.value(), path.value().string());
  return answer_stdin([&](const Json& object, const std::string& place) -> Result<Json> {
    const auto messages = object.find("messages");
    if (messages == object.end()) return fail("{}: the key \"messages\" is missing", place);
    if (!messages->is_array())
      return fail("{}: \"messages\": expected an array, found {}", place, messages->type_name());
    auto rendered = encoder.render(object);
    if (!rendered) return fail("{}: {}", place, rendered.message());
    return Json{{"rendered", rendered.take()}};
  });
}

}  // namespace

Command add_render(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("render", "Messages through the chat template (JSONL on stdin)");
  app->footer(kRenderFooter);
  auto model = std::make_shared<std::string>();
  add_model(*app, *model);
  return {app, [model] {
            std::signal(SIGPIPE, SIG_IGN);
            return render(*model);
          }};
}

}  // namespace dspark::apps

// dspark score: JSONL {"ids"} on stdin; the mean negative log-likelihood and the 20 most likely
// next tokens.
#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/json_lines.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

constexpr const char* kScoreFooter = R"(
Output: {"nll": mean of -log p(ids[t] | ids[<t]) over t >= 1, "top": [[id, logit] x 20 at the last id]}.

Example:
  echo '{"ids": [19556, 905]}' | dspark score
)";

int score(const EngineArguments& arguments) {
  auto engine = load_engine(arguments, arguments.to_options());
  if (!engine) return report(kFailure, engine.message());
  return answer_stdin([&](const Json& object, const std::string& place) -> Result<Json> {
    DSPARK_TRY(const auto ids, ids_at(object, "ids", place));
    auto score = engine.value()->score(ids);
    if (!score) return fail("{}: {}", place, score.message());
    return Json{{"nll", score->nll}, {"top", score->top}};
  });
}

}  // namespace

Command add_score(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("score", "How likely ids are, and what comes next (JSONL on stdin)");
  app->footer(kScoreFooter);
  auto arguments = std::make_shared<EngineArguments>();
  add_engine(*app, *arguments);
  return {app, [arguments] {
            std::signal(SIGPIPE, SIG_IGN);
            return score(*arguments);
          }};
}

}  // namespace dspark::apps

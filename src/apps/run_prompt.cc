// run with one prompt: the answer streams to stdout as it comes.
#include <iostream>
#include <iterator>

#include "apps/command.h"
#include "apps/draft_view.h"
#include "apps/interrupt.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

// --prompt, or all of stdin without its final newline.
Result<std::string> prompt_text(const RunArguments& arguments) {
  if (arguments.has_prompt) return arguments.prompt;
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.ends_with('\n')) text.pop_back();
  if (text.empty()) return fail("no prompt: standard input is empty, and there is no --prompt");
  return text;
}

}  // namespace

Result<bool> run_prompt(RunSession& session) {
  DSPARK_TRY(const std::string text, prompt_text(session.arguments()));
  Answer answer{.id = "prompt"};
  DSPARK_TRY(answer.prompt_ids, session.encode_prompt(text));

  InterruptFlag interrupt(SecondSignal::kEndsProgram);
  const DraftMarks marks = draft_marks(session.arguments().show_drafts);
  if (marks != DraftMarks::kNone) fmt::print(stderr, "{}\n", draft_legend(marks));
  Status written;
  engine::Callbacks callbacks;
  callbacks.on_delta = [&](const engine::Delta& delta) {
    if (written.ok() && !delta.text.empty()) written = write_stdout(marked_text(delta, marks));
  };
  callbacks.on_finished = [&](const engine::Completion& completion) {
    session.report().request_finished();
    answer.completion = completion;
  };
  engine::Engine& engine = session.engine();
  DSPARK_TRY(const auto id,
             engine.submit(session.request(answer.prompt_ids), std::move(callbacks)));
  while (!engine.idle()) {
    if (interrupt.raised() || !written.ok()) engine.cancel(id);
    engine.step();
  }
  DSPARK_RETURN_IF_ERROR(written);
  DSPARK_RETURN_IF_ERROR(write_stdout("\n"));
  session.warn_if_cut(answer);
  DSPARK_RETURN_IF_ERROR(session.report().add(answer));
  if (marks != DraftMarks::kNone) fmt::print(stderr, "{}\n", draft_summary(answer.completion));
  fmt::print(stderr, "{}\n", speed_text(answer));
  const auto finish = answer.completion.finish;
  if (finish == engine::Finish::kError) session.report().warn(answer.completion.error);
  DSPARK_RETURN_IF_ERROR(session.report().finish(engine.info()));
  return finish == engine::Finish::kStop || finish == engine::Finish::kLength;
}

}  // namespace dspark::apps

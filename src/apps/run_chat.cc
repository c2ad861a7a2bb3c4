// run at a terminal: a conversation. Ctrl-C stops an answer, Ctrl-D ends the program.
#include "apps/command.h"
#include "apps/draft_view.h"
#include "apps/interrupt.h"
#include "apps/line_editor.h"
#include "apps/progress.h"
#include "apps/run_session.h"
#include "installed/installed.h"

namespace dspark::apps {
namespace {

constexpr const char* kHelp =
    "/help          this text\n"
    "/reset         forget the conversation\n"
    "/system TEXT   set the system message and forget the conversation\n"
    "/exit          leave, as Ctrl-D does; Ctrl-C stops an answer\n";

class Chat {
 public:
  explicit Chat(RunSession& session)
      : session_(session),
        interrupt_(SecondSignal::kIsIgnored),
        editor_(history_file(), interrupt_),
        messages_(session.conversation_start()) {}

  Result<bool> run() {
    const auto& info = session_.engine().info();
    note(fmt::format("{}, {} threads, {}; /help lists the commands", info.model, info.threads,
                     info.isa));
    if (marks_ != DraftMarks::kNone) note(draft_legend(marks_));
    while (auto line = editor_.read("> ")) {
      interrupt_.clear();
      if (line->find_first_not_of(" \t") == std::string::npos) continue;
      if (line->front() == '/') {
        if (!obey(*line)) break;
      } else {
        DSPARK_RETURN_IF_ERROR(answer(*line));
      }
    }
    DSPARK_RETURN_IF_ERROR(session_.report().finish(info));
    return true;
  }

 private:
  static std::filesystem::path history_file() {
    const auto state = user_directory("XDG_STATE_HOME", ".local/state");
    return state.empty() ? state : state / "history";
  }

  // For the reader, not the record: dim where the terminal can.
  static void note(std::string_view text) {
    if (stderr_is_terminal())
      fmt::print(stderr, "\x1b[2m{}\x1b[0m\n", text);
    else
      fmt::print(stderr, "{}\n", text);
  }

  // false to leave
  bool obey(const std::string& line) {
    const size_t space = line.find_first_of(" \t");
    const std::string name = line.substr(0, space);
    const size_t text = space == std::string::npos ? space : line.find_first_not_of(" \t", space);
    if (name == "/exit") return false;
    if (name == "/help") {
      fmt::print(stderr, "{}", kHelp);
    } else if (name == "/reset") {
      messages_ = start_;
      note("the conversation is forgotten");
    } else if (name == "/system" && text != std::string::npos) {
      messages_ = start_ = Json::array({tokenizer::message("system", line.substr(text))});
      note("the system message is set, the conversation forgotten");
    } else if (name == "/system") {
      note("/system needs a text");
    } else {
      note(fmt::format("unknown command {}, the nearest is {}", name,
                       nearest_word(name, {"/help", "/reset", "/system", "/exit"})));
    }
    return true;
  }

  Status answer(const std::string& text) {
    Json messages = messages_;
    messages.push_back(tokenizer::message("user", text));
    auto ids = session_.encode_chat(messages);
    if (!ids) {
      note(ids.message());
      return {};
    }
    const int64_t context = session_.engine().info().context;
    if (static_cast<int64_t>(ids->size()) >= context) {
      note(fmt::format(
          "the conversation has {} tokens and fills the context of {}; /reset begins a new one",
          ids->size(), context));
      return {};
    }
    Answer answer{.id = fmt::format("chat/{}", ++turn_), .prompt_ids = ids.take()};
    DSPARK_TRY(const bool submitted, generate(answer));
    if (!submitted) return {};
    const auto& completion = answer.completion;
    if (completion.finish == engine::Finish::kError) note(completion.error);
    if (completion.finish == engine::Finish::kCancelled) note("stopped");
    if (marks_ != DraftMarks::kNone) note(draft_summary(completion));
    note(speed_text(answer));
    session_.warn_if_cut(answer);
    messages.push_back(tokenizer::message("assistant", completion.text));
    messages_ = std::move(messages);
    return session_.report().add(answer);
  }

  // Streams the answer; false when the engine refused the request.
  Result<bool> generate(Answer& answer) {
    Status written;
    engine::Callbacks callbacks;
    callbacks.on_delta = [&](const engine::Delta& delta) {
      if (written.ok() && !delta.text.empty()) written = write_stdout(marked_text(delta, marks_));
    };
    callbacks.on_finished = [&](const engine::Completion& completion) {
      session_.report().request_finished();
      answer.completion = completion;
    };
    engine::Engine& engine = session_.engine();
    auto id = engine.submit(session_.request(answer.prompt_ids), std::move(callbacks));
    if (!id) {
      note(id.message());
      return false;
    }
    while (!engine.idle()) {
      if (interrupt_.raised() || !written.ok()) engine.cancel(*id);
      engine.step();
    }
    interrupt_.clear();
    DSPARK_RETURN_IF_ERROR(written);
    DSPARK_RETURN_IF_ERROR(write_stdout("\n"));
    return true;
  }

  RunSession& session_;
  InterruptFlag interrupt_;
  LineEditor editor_;
  Json messages_;           // the conversation so far
  Json start_ = messages_;  // what /reset goes back to
  int turn_ = 0;
  const DraftMarks marks_ = draft_marks(session_.arguments().show_drafts);
};

}  // namespace

Result<bool> run_chat(RunSession& session) {
  if (session.engine().tokenizer().chat_template().empty())
    return fail(
        "{}: the model has no chat template, so no chat; --raw --prompt TEXT continues a text",
        session.engine().info().model);
  return Chat(session).run();
}

}  // namespace dspark::apps

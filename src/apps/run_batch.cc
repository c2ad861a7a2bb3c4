// run with a prompt file: up to --concurrency rows at a time, their completions written in input
// order.
#include <algorithm>
#include <chrono>
#include <deque>
#include <map>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/progress.h"
#include "apps/prompt_file.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

class BatchRun {
 public:
  BatchRun(RunSession& session, const std::vector<PromptRow>& rows)
      : session_(session), rows_(rows), results_(rows.size()), progress_("running", "prompts") {}

  Result<bool> run() {
    InterruptFlag interrupt(SecondSignal::kEndsProgram);
    engine::Engine& engine = session_.engine();
    for (;;) {
      if (interrupt.raised()) stop_all();
      while (!stopped_ && open_ < static_cast<size_t>(session_.arguments().concurrency) &&
             next_row_ < rows_.size())
        start_row(next_row_++);
      send_next_turns();
      DSPARK_RETURN_IF_ERROR(write_finished());
      if (open_ == 0) {
        if (stopped_ || next_row_ == rows_.size()) break;
        continue;  // every row so far ended before its first step
      }
      const bool worked = engine.step();
      CHECK(worked || open_ == 0 || !ready_.empty(), "the engine lost {} requests", open_);
      show_progress();
    }
    progress_.clear();
    if (next_row_ < rows_.size())
      session_.report().warn(fmt::format("interrupted: {} of {} rows were not started",
                                         rows_.size() - next_row_, rows_.size()));
    DSPARK_RETURN_IF_ERROR(session_.report().finish(engine.info()));
    return all_good_ && !stopped_;
  }

 private:
  // A row's conversation, from its start to its being written.
  struct RowResult {
    Json messages = Json::array();
    std::vector<Answer> answers;
    bool ended = false;
  };

  size_t turns(size_t row) const {
    return session_.arguments().all_turns ? std::max<size_t>(1, rows_[row].turns.size()) : 1;
  }

  Json answer_id(size_t row, size_t turn) const {
    const Json& id = rows_[row].id;
    if (!session_.arguments().all_turns) return id;
    return fmt::format("{}/{}", id.is_string() ? id.get<std::string>() : id.dump(), turn + 1);
  }

  Result<std::vector<int32_t>> encode(size_t row, size_t turn) {
    if (rows_[row].turns.empty()) return rows_[row].ids;
    const std::string& text = rows_[row].turns[turn];
    if (session_.arguments().raw) return session_.encode_prompt(text);
    Json& messages = results_[row].messages;
    if (turn == 0) messages = session_.conversation_start();
    messages.push_back(tokenizer::message("user", text));
    return session_.encode_chat(messages);
  }

  void start_row(size_t row) {
    ++open_;
    send_turn(row, 0);
  }

  void send_turn(size_t row, size_t turn) {
    results_[row].answers.push_back({.id = answer_id(row, turn)});
    auto ids = encode(row, turn);
    if (!ids) return turn_failed(row, ids.message());
    results_[row].answers.back().prompt_ids = *ids;
    engine::Callbacks callbacks;
    callbacks.on_delta = [this](const engine::Delta& delta) {
      tokens_ += static_cast<int64_t>(delta.ids.size());
    };
    callbacks.on_finished = [this, row](const engine::Completion& completion) {
      session_.report().request_finished();
      running_.erase(row);
      turn_ended(row, completion);
    };
    auto id = session_.engine().submit(session_.request(ids.take()), std::move(callbacks));
    if (!id) return turn_failed(row, id.message());
    running_[row] = *id;
  }

  void turn_failed(size_t row, const std::string& message) {
    engine::Completion completion;
    completion.finish = engine::Finish::kError;
    completion.error = message;
    turn_ended(row, completion);
  }

  void turn_ended(size_t row, const engine::Completion& completion) {
    RowResult& result = results_[row];
    result.answers.back().completion = completion;
    const bool good =
        completion.finish == engine::Finish::kStop || completion.finish == engine::Finish::kLength;
    all_good_ &= good;
    if (good && !stopped_ && result.answers.size() < turns(row)) {
      result.messages.push_back(tokenizer::message("assistant", completion.text));
      ready_.push_back(row);
      return;
    }
    result.ended = true;
    --open_;
    ++rows_ended_;
  }

  // Next turns are sent between steps, not from inside the one that ended the turn before.
  void send_next_turns() {
    while (!ready_.empty()) {
      const size_t row = ready_.front();
      ready_.pop_front();
      if (stopped_) {
        results_[row].ended = true;
        --open_;
      } else {
        send_turn(row, results_[row].answers.size());
      }
    }
  }

  void stop_all() {
    stopped_ = true;
    const auto running = running_;  // cancel() changes running_
    for (const auto& [row, id] : running) session_.engine().cancel(id);
  }

  // Writes the rows that have ended and have none still open before them.
  Status write_finished() {
    for (; next_write_ < next_row_ && results_[next_write_].ended; ++next_write_) {
      RowResult& result = results_[next_write_];
      for (const Answer& answer : result.answers) {
        progress_.clear();
        if (answer.completion.finish == engine::Finish::kError)
          session_.report().warn(to_line(answer.id) + ": " + answer.completion.error);
        session_.warn_if_cut(answer);
        DSPARK_RETURN_IF_ERROR(session_.report().add(answer));
        DSPARK_RETURN_IF_ERROR(write_stdout(answer.completion.text + "\n"));
      }
      const size_t missing = stopped_ ? 0 : turns(next_write_) - result.answers.size();
      if (missing > 0)
        session_.report().warn(fmt::format("{}: {} further turns were not sent",
                                           to_line(rows_[next_write_].id), missing));
      result = {};  // frees the texts
      result.ended = true;
    }
    return {};
  }

  void show_progress() {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    progress_.update(static_cast<double>(rows_ended_), static_cast<double>(rows_.size()),
                     fmt::format("{:.0f} tok/s", static_cast<double>(tokens_) / seconds));
  }

  using Clock = std::chrono::steady_clock;
  RunSession& session_;
  const std::vector<PromptRow>& rows_;
  std::vector<RowResult> results_;               // by row
  std::map<size_t, engine::RequestId> running_;  // by row
  std::deque<size_t> ready_;                     // rows whose next turn can be sent
  size_t next_row_ = 0, next_write_ = 0;
  size_t open_ = 0;  // rows started and not ended
  size_t rows_ended_ = 0;
  int64_t tokens_ = 0;
  bool stopped_ = false, all_good_ = true;
  Clock::time_point start_ = Clock::now();
  Progress progress_;
};

}  // namespace

Result<bool> run_batch(RunSession& session, const std::vector<PromptRow>& rows) {
  return BatchRun(session, rows).run();
}

}  // namespace dspark::apps

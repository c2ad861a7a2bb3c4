// data regenerate with our own engine: as many rows as --concurrency says are in its batch at any
// time, each with one turn under way.
#include <algorithm>
#include <deque>
#include <map>

#include "apps/data_job.h"
#include "apps/run_session.h"

namespace dspark::apps {
namespace {

// A row under way.
struct OpenRow {
  const learn::Prompt* prompt = nullptr;
  learn::CorpusRow row;
  size_t turn = 0;
  std::vector<bool> cut;  // by answer: it ended without a stop token
  std::string rendered;   // the prompt of this turn
  std::vector<int32_t> prompt_ids;
  engine::RequestId request = 0;
};

class EngineAnswers {
 public:
  EngineAnswers(const RegenerateArguments& arguments, RegenerateJob& job, engine::Engine& engine,
                std::optional<learn::TemplateStyle> style)
      : arguments_(arguments),
        job_(job),
        engine_(engine),
        encoder_(engine.tokenizer(), engine.info().model),
        style_(std::move(style)) {}

  Status run() {
    const auto most = static_cast<size_t>(arguments_.concurrency);
    for (;;) {
      if (job_.interrupted()) return stop();
      while (open_.size() < most) {
        const learn::Prompt* prompt = job_.next();
        if (!prompt) break;
        DSPARK_RETURN_IF_ERROR(start(*prompt));
      }
      if (open_.empty()) return {};
      CHECK(engine_.step() || !ended_.empty(), "the engine lost {} requests", open_.size());
      DSPARK_RETURN_IF_ERROR(take_ended());
      DSPARK_RETURN_IF_ERROR(job_.tick());
    }
  }

 private:
  Status start(const learn::Prompt& prompt) {
    auto open = std::make_unique<OpenRow>();
    open->prompt = &prompt;
    open->row = job_.start(prompt);
    const auto sent = send_turn(*open);
    if (!sent) return job_.failed(prompt, sent.message());
    open_.emplace(&prompt, std::move(open));
    return {};
  }

  Status send_turn(OpenRow& open) {
    auto& conversation = open.row.conversations;
    Json messages = messages_of(conversation);
    const std::string& text = open.prompt->turns[open.turn];
    messages.push_back(tokenizer::message("user", text));
    DSPARK_TRY(std::string rendered,
               encoder_.render(Json{{"messages", messages}, {"add_generation_prompt", true}}));
    DSPARK_TRY(auto ids, encoder_.encode_rendered(rendered));
    engine::Request request;
    request.prompt_ids = ids;
    request.sampling = job_.sampling(open.row);
    const int64_t room = engine_.info().context - static_cast<int64_t>(ids.size());
    request.max_tokens = static_cast<int>(std::clamp<int64_t>(room, 1, arguments_.max_tokens));
    engine::Callbacks callbacks;
    callbacks.on_delta = [this](const engine::Delta& delta) {
      job_.add_tokens(static_cast<int64_t>(delta.ids.size()));
    };
    callbacks.on_finished = [this, prompt = open.prompt](const engine::Completion& completion) {
      ended_.emplace_back(prompt, completion);
    };
    DSPARK_TRY(open.request, engine_.submit(std::move(request), std::move(callbacks)));
    conversation.push_back({"user", text});
    open.rendered = std::move(rendered);
    open.prompt_ids = std::move(ids);
    return {};
  }

  // What ended in a step is taken in between steps.
  Status take_ended() {
    while (!ended_.empty()) {
      const auto [prompt, completion] = std::move(ended_.front());
      ended_.pop_front();
      OpenRow& open = *open_.at(prompt);
      if (completion.finish == engine::Finish::kError) {
        DSPARK_RETURN_IF_ERROR(job_.failed(*prompt, completion.error));
        open_.erase(prompt);
        continue;
      }
      DSPARK_RETURN_IF_ERROR(add_answer(open, completion));
      ++open.turn;
      // A conversation that the context has no room for ends with the turn before.
      if (open.turn < prompt->turns.size() && send_turn(open)) continue;
      DSPARK_RETURN_IF_ERROR(job_.finished(*prompt, open.row));
      open_.erase(prompt);
    }
    return {};
  }

  Status add_answer(OpenRow& open, const engine::Completion& completion) {
    learn::CorpusRow& row = open.row;
    row.conversations.push_back({"assistant", completion.text});
    row.finish = engine::finish_name(completion.finish);
    row.ids = open.prompt_ids;
    row.ids.insert(row.ids.end(), completion.ids.begin(), completion.ids.end());
    row.loss.clear();
    if (open.turn > 0) DSPARK_RETURN_IF_ERROR(add_earlier_answers(open));
    row.loss.push_back(
        {static_cast<int32_t>(open.prompt_ids.size()), static_cast<int32_t>(row.ids.size())});
    open.cut.push_back(completion.finish == engine::Finish::kLength);
    return {};
  }

  // The answers within the prompt, with the stop tokens that the target gave. Where the template
  // drops earlier answers, or a user wrote its marks, the last answer alone is trained on.
  Status add_earlier_answers(OpenRow& open) {
    const auto& text = open.rendered;
    auto spans = learn::assistant_spans(text, *style_);
    if (!spans.empty() && spans.back().begin >= text.size()) spans.pop_back();  // of this answer
    if (spans.size() != open.turn) return {};
    for (size_t i = 0; i < spans.size(); ++i) {
      const size_t stop = spans[i].stop + (open.cut[i] ? 0 : style_->stop.size());
      DSPARK_TRY(const auto begin, learn::tokens_before(encoder_, text, spans[i].begin));
      DSPARK_TRY(const auto end, learn::tokens_before(encoder_, text, std::min(stop, text.size())));
      if (begin < end) open.row.loss.push_back({begin, end});
    }
    return {};
  }

  Status stop() {
    for (const auto& [prompt, open] : open_) engine_.cancel(open->request);
    return {};
  }

  const RegenerateArguments& arguments_;
  RegenerateJob& job_;
  engine::Engine& engine_;
  tokenizer::PromptEncoder encoder_;
  std::optional<learn::TemplateStyle> style_;  // there, where a row has several turns
  std::map<const learn::Prompt*, std::unique_ptr<OpenRow>> open_;
  std::deque<std::pair<const learn::Prompt*, engine::Completion>> ended_;
};

}  // namespace

Status answer_by_engine(const RegenerateArguments& arguments, RegenerateJob& job) {
  engine::Options options = arguments.engine.to_options();
  options.max_running = arguments.concurrency;
  DSPARK_TRY(const auto engine, load_engine(arguments.engine, std::move(options)));
  std::optional<learn::TemplateStyle> style;
  const auto& rows = job.prompts().rows;
  if (std::any_of(rows.begin(), rows.end(), [](const auto& row) { return row.turns.size() > 1; })) {
    DSPARK_TRY(style,
               learn::template_style(engine->tokenizer().chat_template(), engine->info().model));
  }
  job.start_clock();
  return EngineAnswers(arguments, job, *engine, std::move(style)).run();
}

}  // namespace dspark::apps

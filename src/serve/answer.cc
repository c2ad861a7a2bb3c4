// From a job to its reply, whole or as a stream.
#include <chrono>
#include <ctime>

#include "serve/api_reply.h"
#include "serve/routes.h"

namespace dspark::serve {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A request that the engine refused, or that broke while it ran.
ApiError error_of(const engine::Completion& done) {
  const bool refused = done.ids.empty() && done.cycles.empty();
  return {.status = refused ? 400 : 500,
          .message = done.error,
          .type = refused ? "invalid_request_error" : "server_error"};
}

}  // namespace

asio::awaitable<void> Routes::generate(Connection& connection, std::variant<Job, ApiError> parsed) {
  if (const auto* error = std::get_if<ApiError>(&parsed)) {
    co_await connection.reply(*error);
    co_return;
  }
  Job job = std::move(std::get<Job>(parsed));
  Headers headers;
  if (!job.ignored.empty()) {
    const std::string names = fmt::format("{}", fmt::join(job.ignored, ", "));
    if (options_.strict) {
      const ApiError error{.message = "unknown fields: " + names, .param = job.ignored.front()};
      co_await connection.reply(error);
      co_return;
    }
    std::string header;  // a header may not hold all that a field's name may
    for (const char c : names.substr(0, 500))
      header += c > ' ' && c < 127 ? c : c == ' ' ? ' ' : '?';
    headers.emplace_back("X-Dspark-Ignored", header);
  }
  if (draining_ || metrics_.generations >= options_.most_calls) {
    ++metrics_.refused;
    headers.emplace_back("Retry-After", draining_ ? "10" : "1");
    ApiError error{
        .status = 429,
        .message = fmt::format("{} calls are being answered already", metrics_.generations),
        .type = "rate_limit_error"};
    if (draining_)
      error = {.status = 503, .message = "the server is stopping", .type = "unavailable_error"};
    co_await connection.reply(error, std::move(headers));
    co_return;
  }
  ReplyFrame frame{job.api,         {}, served_->facts.name, std::time(nullptr), job.wants_logprobs,
                   job.top_logprobs};
  frame.id = fmt::format("{}-{:016x}", job.api == Api::kChat ? "chatcmpl" : "cmpl",
                         static_cast<uint64_t>(frame.created_unix_s) << 24 | ++last_id_);
  const auto generation =
      std::make_shared<Generation>(asio::any_io_executor(io_.get_executor()), served_->worker);
  ++metrics_.generations;
  const auto start = Clock::now();
  connection.watch([this, generation] {
    ++metrics_.disconnects;
    generation->cancel();
  });
  generation->start(std::move(job.requests));
  if (job.stream)
    co_await answer_stream(connection, *generation, job, frame, std::move(headers));
  else
    co_await answer_whole(connection, *generation, job, frame, std::move(headers));
  connection.unwatch();
  generation->cancel();  // what a fault left behind
  --metrics_.generations;
  metrics_.whole.add(seconds_since(start));
}

asio::awaitable<void> Routes::answer_whole(Connection& connection, Generation& generation,
                                           const Job& job, const ReplyFrame& frame,
                                           Headers headers) {
  std::vector<engine::Completion> done(job.choices);
  const auto start = Clock::now();
  bool any = false;
  for (size_t left = job.choices; left > 0;) {
    auto event = co_await generation.next();
    if (!event) {  // the client has gone
      connection.close();
      co_return;
    }
    if (!any && event->delta) metrics_.first_token.add(seconds_since(start));
    any = true;
    if (!event->completion) continue;
    --left;
    if (event->completion->finish == engine::Finish::kError) {
      connection.unwatch();
      const ApiError error = error_of(*event->completion);
      co_await connection.reply(error, std::move(headers));
      co_return;
    }
    done[static_cast<size_t>(event->choice)] = std::move(*event->completion);
  }
  Json choices = Json::array();
  for (size_t i = 0; i < done.size(); ++i) {
    const engine::Completion& c = done[i];
    const std::string before = job.echo ? job.prompts[i] : std::string();
    choices.push_back(choice_json(
        frame, static_cast<int>(i), before + c.text,
        frame.wants_logprobs
            ? logprobs_json(frame, *served_->facts.tokenizer, c.ids, c.logprobs, before.size())
            : Json(),
        finish_reason(c.finish)));
  }
  connection.unwatch();
  co_await connection.reply(
      200, body_json(frame, std::move(choices), usage_json(job.prompt_tokens, done)),
      std::move(headers));
}

asio::awaitable<void> Routes::answer_stream(Connection& connection, Generation& generation,
                                            const Job& job, const ReplyFrame& frame,
                                            Headers headers) {
  std::vector<engine::Completion> done(job.choices);
  std::vector<size_t> offsets(job.choices, 0);
  const auto start = Clock::now();
  auto last = start;
  bool open = false;
  for (size_t left = job.choices; left > 0;) {
    auto event = co_await generation.next();
    if (!event || connection.lost()) {
      generation.cancel();
      connection.close();
      co_return;
    }
    const auto choice = static_cast<size_t>(event->choice);
    if (event->completion && event->completion->finish == engine::Finish::kError) {
      const ApiError error = error_of(*event->completion);
      if (!open) {
        connection.unwatch();
        co_await connection.reply(error, std::move(headers));
        co_return;
      }
      co_await connection.event(dump(error.json()));
      break;
    }
    if (!open) {
      open = true;
      co_await connection.open_events(headers);
      for (size_t i = 0; i < job.choices; ++i) {
        if (job.api == Api::kChat)
          co_await connection.event(dump(opening_chunk(frame, static_cast<int>(i))));
        else if (job.echo)
          co_await connection.event(
              dump(text_chunk(frame, static_cast<int>(i), job.prompts[i], Json())));
        offsets[i] = job.echo ? job.prompts[i].size() : 0;
      }
    }
    if (event->delta) {
      const engine::Delta& delta = *event->delta;
      const double seconds = seconds_since(last);
      if (last == start)
        metrics_.first_token.add(seconds);
      else if (!delta.ids.empty())
        metrics_.between_tokens.add(seconds / static_cast<double>(delta.ids.size()));
      last = Clock::now();
      Json logprobs;
      if (frame.wants_logprobs && !delta.ids.empty())
        logprobs = logprobs_json(frame, *served_->facts.tokenizer, delta.ids, delta.logprobs,
                                 offsets[choice]);
      offsets[choice] += delta.text.size();
      if (!delta.text.empty() || !logprobs.is_null())
        co_await connection.event(
            dump(text_chunk(frame, event->choice, delta.text, std::move(logprobs))));
    }
    if (event->completion) {
      --left;
      done[choice] = std::move(*event->completion);
      co_await connection.event(
          dump(last_chunk(frame, event->choice, finish_reason(done[choice].finish))));
    }
  }
  if (job.include_usage)
    co_await connection.event(dump(usage_chunk(frame, usage_json(job.prompt_tokens, done))));
  co_await connection.event("[DONE]");
  connection.unwatch();
  co_await connection.close_events();
}

}  // namespace dspark::serve

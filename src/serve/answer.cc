// From a job to its reply, whole or as a stream.
#include <chrono>
#include <ctime>
#include <utility>

#include "serve/reply_form.h"
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

void append(std::string& text, const StreamEvents& events) {
  for (const StreamEvent& event : events) {
    if (!event.name.empty()) text += "event: " + event.name + "\n";
    text += "data: " + event.data + "\n\n";
  }
}

}  // namespace

std::optional<ApiError> Routes::too_many(int key) const {
  if (draining_)
    return ApiError{
        .status = 503, .message = "the server is stopping", .type = "unavailable_error"};
  const auto refused = [](int64_t calls, const char* whose) {
    return ApiError{.status = 429,
                    .message = fmt::format("{} calls{} are being answered already", calls, whose),
                    .type = "rate_limit_error"};
  };
  if (metrics_.generations >= options_.most_calls) return refused(metrics_.generations, "");
  const auto own = calls_of_key_.find(key);
  if (key >= 0 && options_.most_calls_per_key > 0 && own != calls_of_key_.end() &&
      own->second >= options_.most_calls_per_key)
    return refused(own->second, " of this key");
  return {};
}

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
  if (const auto error = too_many(connection.record().key)) {
    ++metrics_.refused;
    headers.emplace_back("Retry-After", draining_ ? "10" : "1");
    co_await connection.reply(*error, std::move(headers));
    co_return;
  }
  CallRecord& record = connection.record();
  record.prompt_tokens = job.prompt_tokens;
  const auto form = make_form(
      job, {next_id(), served_->facts.name, std::time(nullptr), served_->facts.tokenizer});
  const auto generation =
      std::make_shared<Generation>(io_.get_executor(), served_->worker, served_->outbox);
  ++metrics_.generations;
  ++calls_of_key_[record.key];
  const auto start = Clock::now();
  connection.watch([this, generation] {
    ++metrics_.disconnects;
    generation->cancel();
  });
  generation->start(std::move(job.requests));
  if (job.stream)
    co_await answer_stream(connection, *generation, job, *form, std::move(headers));
  else
    co_await answer_whole(connection, *generation, job, *form, std::move(headers));
  connection.unwatch();
  generation->cancel();  // what a fault left behind
  --metrics_.generations;
  --calls_of_key_[record.key];
  metrics_.whole.add(seconds_since(start));
}

asio::awaitable<void> Routes::answer_whole(Connection& connection, Generation& generation,
                                           const Job& job, ReplyForm& form, Headers headers) {
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
    if (event->delta) connection.record().tokens += static_cast<int64_t>(event->delta->ids.size());
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
  connection.unwatch();
  const Json body = form.body(done);
  co_await connection.reply(200, body, std::move(headers));
}

asio::awaitable<void> Routes::answer_stream(Connection& connection, Generation& generation,
                                            const Job& job, ReplyForm& form, Headers headers) {
  std::vector<engine::Completion> done(job.choices);
  const auto start = Clock::now();
  auto last = start;
  bool open = false;
  std::string text;  // what was not written yet: all that is known goes out at once
  for (size_t left = job.choices; left > 0;) {
    if (!generation.has_news()) co_await connection.events(std::exchange(text, {}));
    auto event = co_await generation.next();
    if (!event || connection.lost()) {
      generation.cancel();
      connection.close();
      co_return;
    }
    const auto choice = static_cast<size_t>(event->choice);
    if (event->completion && event->completion->finish == engine::Finish::kError) {
      const ApiError error = error_of(*event->completion);
      connection.unwatch();
      if (!open) {
        co_await connection.reply(error, std::move(headers));
        co_return;
      }
      append(text, form.fault(error));
      co_await connection.events(std::move(text));
      co_await connection.close_events();
      co_return;
    }
    if (!open) {
      open = true;
      co_await connection.open_events(headers);
      append(text, form.open());
    }
    if (event->delta) {
      const engine::Delta& delta = *event->delta;
      const double seconds = seconds_since(last);
      if (last == start)
        metrics_.first_token.add(seconds);
      else if (!delta.ids.empty())
        metrics_.between_tokens.add(seconds / static_cast<double>(delta.ids.size()));
      last = Clock::now();
      connection.record().tokens += static_cast<int64_t>(delta.ids.size());
      append(text, form.delta(event->choice, delta));
    }
    if (event->completion) {
      --left;
      done[choice] = std::move(*event->completion);
      append(text, form.finished(event->choice, done[choice]));
    }
  }
  append(text, form.close(done));
  co_await connection.events(std::move(text));
  connection.unwatch();
  co_await connection.close_events();
}

}  // namespace dspark::serve

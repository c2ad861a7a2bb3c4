// What each path does. Private to the room serve.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>

#include "serve/connection.h"
#include "serve/generation.h"
#include "serve/metrics.h"
#include "serve/outbox.h"
#include "serve/page_files.h"
#include "serve/reply_form.h"
#include "serve/server.h"

namespace dspark::serve {

// A loaded model.
struct Served {
  Served(std::unique_ptr<engine::Engine> engine, const std::string& name,
         asio::any_io_executor server);
  Outbox outbox;  // of the worker's thread
  Worker worker;
  tokenizer::PromptEncoder encoder;
  ModelFacts facts;
};

class Routes {
 public:
  Routes(asio::io_context& io, const ServerOptions& options) : io_(io), options_(options) {}

  void loaded(std::unique_ptr<Served> served) { served_ = std::move(served); }
  void drain() { draining_ = true; }  // new generations get 503
  int64_t generations() const { return metrics_.generations; }
  // Why the engine can't go on; empty while it can.
  std::string failure() const { return served_ == nullptr ? "" : served_->worker.state().failure; }
  Metrics& metrics() { return metrics_; }

  std::string next_id();  // of a request or an answer
  asio::awaitable<void> handle(Connection& connection, const HttpRequest& request);

 private:
  using Call = asio::awaitable<void> (Routes::*)(Connection&, const Json& body);
  struct Route {
    http::verb verb;
    Call call;
    bool open = false;  // needs no key
    bool needs_model = true;
  };
  static const std::map<std::string, Route>& table();
  // Why it may not be; otherwise the record knows the call's key.
  std::optional<ApiError> refusal(const HttpRequest& request, const Route& route,
                                  CallRecord& record) const;
  Headers cors_headers(const HttpRequest& request) const;
  // Answers; gives the route for metrics and the log.
  asio::awaitable<std::string> dispatch(Connection& connection, const HttpRequest& request);

  asio::awaitable<void> health(Connection& connection, const Json& body);
  asio::awaitable<void> models(Connection& connection, const Json& body);
  asio::awaitable<void> show_metrics(Connection& connection, const Json& body);
  asio::awaitable<void> state(Connection& connection, const Json& body);
  asio::awaitable<void> tokenize(Connection& connection, const Json& body);
  asio::awaitable<void> detokenize(Connection& connection, const Json& body);
  asio::awaitable<void> apply_template(Connection& connection, const Json& body);
  asio::awaitable<void> completions(Connection& connection, const Json& body);
  asio::awaitable<void> chat(Connection& connection, const Json& body);
  asio::awaitable<void> responses(Connection& connection, const Json& body);
  asio::awaitable<void> messages(Connection& connection, const Json& body);
  asio::awaitable<void> page(Connection& connection, const HttpRequest& request,
                             const PageFile& file);

  // Why no further call is answered now; key: the record's.
  std::optional<ApiError> too_many(int key) const;
  asio::awaitable<void> generate(Connection& connection, std::variant<Job, ApiError> parsed);
  asio::awaitable<void> answer_whole(Connection& connection, Generation& generation, const Job& job,
                                     ReplyForm& form, Headers headers);
  asio::awaitable<void> answer_stream(Connection& connection, Generation& generation,
                                      const Job& job, ReplyForm& form, Headers headers);

  asio::io_context& io_;
  const ServerOptions& options_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::unique_ptr<Served> served_;
  Metrics metrics_;
  bool draining_ = false;
  uint64_t last_id_ = 0;
  std::map<int, int> calls_of_key_;  // being answered
};

}  // namespace dspark::serve

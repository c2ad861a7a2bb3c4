// What each path does. Private to the room serve.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>

#include "serve/api_reply.h"
#include "serve/connection.h"
#include "serve/generation.h"
#include "serve/metrics.h"
#include "serve/server.h"

namespace dspark::serve {

// A loaded model.
struct Served {
  explicit Served(std::unique_ptr<engine::Engine> engine, const std::string& name);
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
  std::optional<ApiError> refusal(const HttpRequest& request, const Route& route) const;

  asio::awaitable<void> health(Connection& connection, const Json& body);
  asio::awaitable<void> models(Connection& connection, const Json& body);
  asio::awaitable<void> show_metrics(Connection& connection, const Json& body);
  asio::awaitable<void> state(Connection& connection, const Json& body);
  asio::awaitable<void> tokenize(Connection& connection, const Json& body);
  asio::awaitable<void> detokenize(Connection& connection, const Json& body);
  asio::awaitable<void> apply_template(Connection& connection, const Json& body);
  asio::awaitable<void> completions(Connection& connection, const Json& body);
  asio::awaitable<void> chat(Connection& connection, const Json& body);

  asio::awaitable<void> generate(Connection& connection, std::variant<Job, ApiError> parsed);
  asio::awaitable<void> answer_whole(Connection& connection, Generation& generation, const Job& job,
                                     const ReplyFrame& frame, Headers headers);
  asio::awaitable<void> answer_stream(Connection& connection, Generation& generation,
                                      const Job& job, const ReplyFrame& frame, Headers headers);

  asio::io_context& io_;
  const ServerOptions& options_;
  std::unique_ptr<Served> served_;
  Metrics metrics_;
  bool draining_ = false;
  uint64_t last_id_ = 0;
};

}  // namespace dspark::serve

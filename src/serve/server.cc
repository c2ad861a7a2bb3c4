#include "serve/server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "serve/routes.h"

namespace dspark::serve {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kIdleTime = std::chrono::seconds(75);  // from a reply to the next whole request
constexpr auto kLook = std::chrono::milliseconds(50);

// What a request that could not be read gets; nothing where nobody waits for an answer.
std::optional<ApiError> fault_of(error_code error, size_t most_body_bytes) {
  if (error == http::error::end_of_stream || error == asio::error::eof ||
      error == asio::error::connection_reset || error == asio::error::operation_aborted ||
      error == http::error::partial_message)
    return {};
  if (error == beast::error::timeout) return ApiError{.status = 408, .message = "too slow"};
  if (error == http::error::body_limit)
    return ApiError{.status = 413,
                    .message = fmt::format("the body is larger than {} bytes", most_body_bytes)};
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return ApiError{.status = 431,
                    .message = fmt::format("the header is larger than {} bytes", kMostHeaderBytes)};
  return ApiError{.message = "no HTTP request: " + error.message()};
}

class Server {
 public:
  explicit Server(const ServerOptions& options) : options_(options), routes_(io_, options) {}

  Status listen();
  std::string address() const;
  void run(const std::function<bool()>& stopped);
  asio::io_context& io() { return io_; }
  Routes& routes() { return routes_; }

 private:
  asio::awaitable<void> accept();
  asio::awaitable<void> serve(tcp::socket socket);

  const ServerOptions& options_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  Routes routes_;
};

Status Server::listen() {
  error_code error;
  const auto host =
      asio::ip::make_address(options_.host == "localhost" ? "127.0.0.1" : options_.host, error);
  if (error) return fail("{}: expected an IP address to listen at", options_.host);
  const tcp::endpoint endpoint(host, static_cast<uint16_t>(options_.port));
  const auto failed = [&] {
    return fail("{} port {}: {}", options_.host, options_.port, error.message());
  };
  acceptor_.open(endpoint.protocol(), error);
  if (error) return failed();
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  acceptor_.bind(endpoint, error);
  if (error) return failed();
  acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed();
  return {};
}

std::string Server::address() const {
  error_code ignored;
  const tcp::endpoint local = acceptor_.local_endpoint(ignored);
  return fmt::format("http://{}:{}", options_.host, local.port());
}

asio::awaitable<void> Server::accept() {
  for (;;) {
    error_code error;
    tcp::socket socket =
        co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) co_return;
    if (error) {  // out of files, say: others may end meanwhile
      asio::steady_timer wait(io_, kLook);
      co_await wait.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> Server::serve(tcp::socket socket) {
  Connection connection(std::move(socket), options_.write_time);
  ++routes_.metrics().connections;
  beast::flat_buffer buffer(kMostBufferBytes);
  for (bool first = true; connection.keeps_alive() || first; first = false) {
    RequestParser parser;
    set_limits(parser, options_.most_body_bytes);
    error_code error;
    connection.stream().expires_after(first ? options_.header_time : kIdleTime);
    co_await http::async_read(connection.stream(), buffer, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    std::optional<ApiError> fault;
    if (error) {
      fault = fault_of(error, options_.most_body_bytes);
      if (!fault) break;
    } else if (is_ambiguous(parser.get())) {
      fault = ApiError{.message = "Transfer-Encoding: expected chunked, in HTTP/1.1"};
    }
    if (fault) {
      HttpRequest request;
      request.keep_alive(false);
      connection.begin(request, routes_.next_id(), {});
      co_await connection.reply(*fault);
      routes_.metrics().replied("unread", fault->status);
      co_await connection.linger();
      break;
    }
    const HttpRequest request = parser.release();
    connection.stream().expires_never();
    co_await routes_.handle(connection, request);
  }
  connection.close();
  --routes_.metrics().connections;
}

void Server::run(const std::function<bool()>& stopped) {
  asio::co_spawn(io_, accept(), asio::detached);
  while (!stopped()) {
    io_.run_for(kLook);
    io_.restart();
  }
  routes_.drain();
  error_code ignored;
  acceptor_.close(ignored);
  const auto end = std::chrono::steady_clock::now() + options_.drain_time;
  while (routes_.generations() > 0 && std::chrono::steady_clock::now() < end) {
    io_.run_for(kLook);
    io_.restart();
  }
}

}  // namespace

Status run_server(const ServerOptions& options,
                  const std::function<Result<std::unique_ptr<engine::Engine>>()>& load,
                  const std::atomic<bool>& stop,
                  const std::function<void(const std::string& address)>& on_listening) {
  Server server(options);
  DSPARK_RETURN_IF_ERROR(server.listen());
  on_listening(server.address());
  std::atomic<bool> failed = false;
  Status loaded;
  std::thread loader([&] {
    auto engine = load();
    if (engine.ok()) {
      auto served = std::make_shared<std::unique_ptr<Served>>(
          std::make_unique<Served>(engine.take(), options.model_name, server.io().get_executor()));
      asio::post(server.io(), [&server, served] { server.routes().loaded(std::move(*served)); });
    } else {
      loaded = fail("{}", engine.message());
      failed = true;
    }
  });
  server.run([&] { return stop || failed || !server.routes().failure().empty(); });
  loader.join();
  if (const std::string failure = server.routes().failure(); !failure.empty())
    return fail("{}", failure);
  return loaded;
}

}  // namespace dspark::serve

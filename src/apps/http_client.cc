#include "apps/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cstdlib>
#include <optional>

namespace dspark::apps {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint64_t kMaxBodyBytes = uint64_t{64} << 20;
constexpr auto kConnectTime = std::chrono::seconds(15);

}  // namespace

struct HttpLoop::Impl {
  asio::io_context context{1};
};

HttpLoop::HttpLoop() : impl_(std::make_unique<Impl>()) {}
HttpLoop::~HttpLoop() = default;

void HttpLoop::run_for(std::chrono::milliseconds time) {
  impl_->context.restart();  // it stops when nothing is waited for
  impl_->context.run_for(time);
}

void HttpLoop::after(std::chrono::milliseconds time, std::function<void()> call) {
  auto timer = std::make_shared<asio::steady_timer>(impl_->context, time);
  timer->async_wait([timer, call = std::move(call)](error_code error) {
    if (!error) call();
  });
}

// Kept alive by the operation under way.
struct HttpConnection::Impl : std::enable_shared_from_this<HttpConnection::Impl> {
  Impl(asio::io_context& context, HttpUrl url, std::string bearer, std::chrono::seconds timeout)
      : resolver(context),
        stream(context),
        url(std::move(url)),
        bearer(std::move(bearer)),
        timeout(timeout) {}

  void start(http::verb verb, const std::string& target, std::string body, OnReply then) {
    request = {};
    request.method(verb);
    request.target(url.path + target);
    request.set(http::field::host, url.authority());
    request.set(http::field::user_agent, "dspark/" DSPARK_VERSION);
    request.set(http::field::accept, "application/json");
    if (!bearer.empty()) request.set(http::field::authorization, "Bearer " + bearer);
    if (verb == http::verb::post) request.set(http::field::content_type, "application/json");
    request.body() = std::move(body);
    request.prepare_payload();
    on_reply = std::move(then);
    reused = open;
    if (open) return send();
    connect();
  }

  void connect() {
    resolver.async_resolve(
        url.host, url.port, [self = shared_from_this()](error_code error, auto found) {
          if (error) return self->failed("cannot find the host", error);
          self->stream.expires_after(kConnectTime);
          self->stream.async_connect(found, [self](error_code error, const auto&) {
            if (error) return self->failed("cannot connect", error);
            self->open = true;
            self->send();
          });
        });
  }

  void send() {
    stream.expires_after(timeout);
    http::async_write(stream, request, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->lost("cannot send", error);
      self->receive();
    });
  }

  void receive() {
    parser.emplace();
    parser->body_limit(kMaxBodyBytes);
    buffer.clear();
    http::async_read(stream, buffer, *parser,
                     [self = shared_from_this()](error_code error, size_t) {
                       if (error) return self->lost("no answer", error);
                       self->received();
                     });
  }

  void received() {
    auto response = parser->release();
    if (!response.keep_alive()) close();
    HttpReply reply;
    reply.status = static_cast<int>(response.result_int());
    reply.body = std::move(response.body());
    if (const auto after = response.find(http::field::retry_after); after != response.end())
      reply.retry_after_s = std::strtod(std::string(after->value()).c_str(), nullptr);
    give(std::move(reply));
  }

  // A kept connection may have been closed by the server meanwhile: then a new one is made.
  void lost(const char* what, error_code error) {
    close();
    if (!reused || error == beast::error::timeout) return failed(what, error);
    reused = false;
    connect();
  }

  void failed(const char* what, error_code error) {
    close();
    HttpReply reply;
    reply.error = fmt::format("{}: {}", what, error.message());
    give(std::move(reply));
  }

  void give(HttpReply reply) {
    const OnReply then = std::move(on_reply);
    on_reply = nullptr;
    if (then) then(std::move(reply));
  }

  void close() {
    error_code ignored;
    stream.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    stream.close();
    open = false;
  }

  asio::ip::tcp::resolver resolver;
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  http::request<http::string_body> request;
  std::optional<http::response_parser<http::string_body>> parser;
  HttpUrl url;
  std::string bearer;
  std::chrono::seconds timeout;
  OnReply on_reply;
  bool open = false, reused = false;
};

HttpConnection::HttpConnection(HttpLoop& loop, HttpUrl url, std::string bearer,
                               std::chrono::seconds timeout)
    : impl_(std::make_shared<Impl>(loop.impl_->context, std::move(url), std::move(bearer),
                                   timeout)) {}

HttpConnection::~HttpConnection() {
  impl_->on_reply = nullptr;
  impl_->close();
}

const HttpUrl& HttpConnection::url() const { return impl_->url; }

void HttpConnection::get(const std::string& target, OnReply on_reply) {
  impl_->start(http::verb::get, target, {}, std::move(on_reply));
}

void HttpConnection::post(const std::string& target, std::string body, OnReply on_reply) {
  impl_->start(http::verb::post, target, std::move(body), std::move(on_reply));
}

}  // namespace dspark::apps
